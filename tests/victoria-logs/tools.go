//go:build tools

// Package tools names the program that is built here, so that its module is pinned: a log server that takes what Loki
// takes.
package tools

import _ "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs"
