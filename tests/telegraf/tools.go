//go:build tools

// Package tools names the program that is built here, so that its module is pinned: a collector that takes arrays of JSON
// over HTTP.
package tools

import _ "github.com/influxdata/telegraf/cmd/telegraf"
