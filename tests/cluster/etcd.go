// The store under the API server: one etcd member inside this process, on unix sockets.
// It promises speed, not durability: nothing is synced to disk, because the state is wiped at every start.
package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// A unix socket's path must fit in 108 bytes with its zero.
const longestSocketPath = 107

// startEtcd returns the URL at which the API server finds the store.
func startEtcd(dir string) (string, error) {
	client, peer := socket(dir, "etcd.sock"), socket(dir, "peer.sock")
	if len(client.Path) > longestSocketPath {
		return "", fmt.Errorf("--dir is too long for a unix socket: %s", client.Path)
	}
	config := embed.NewConfig()
	config.Name = "store"
	config.Dir = filepath.Join(dir, "state", "etcd")
	config.UnsafeNoFsync = true
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{client}, []url.URL{peer}
	// Nobody dials what a lone member advertises, but it must have the form of host and port.
	nominal := []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = nominal, nominal
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// A lone member elects itself after one election timeout; the default is a second.
	config.TickMs, config.ElectionMs = 50, 250
	config.LogLevel = "error"
	config.LogOutputs = []string{filepath.Join(dir, "etcd.log")}

	server, err := embed.StartEtcd(config)
	if err != nil {
		return "", err
	}
	select {
	case <-server.Server.ReadyNotify():
		return client.String(), nil
	case err := <-server.Err():
		return "", err
	case <-time.After(30 * time.Second):
		return "", errors.New("not ready after 30 s")
	}
}

func socket(dir, name string) url.URL {
	path := filepath.Join(dir, "state", name)
	// A socket left by a killed run would be refused as in use.
	os.Remove(path)
	return url.URL{Scheme: "unix", Path: path}
}
