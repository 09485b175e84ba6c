// Command cluster is a real Kubernetes control plane for tests: kube-apiserver, etcd and the few controllers
// that namespaces and service accounts need, in one process, with two make-believe nodes whose pods are host
// processes. It promises one line "READY <url>" once kubectl works, and that nothing it started outlives it.
//
// For tests on loopback alone: `kubectl exec` on this cluster runs commands on this machine as this user.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/klog/v2"
)

type settings struct {
	dir           string
	manifest      string
	seed          string
	exitWithStdin bool
}

func main() {
	settings, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if settings.exitWithStdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	err = run(ctx, settings)
	// The state is wiped at the next start, so there is nothing to drain: the servers end with the process,
	// and only what would outlive it has to be killed.
	killEverything()
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		fmt.Fprintln(os.Stderr, "cluster: more in", filepath.Join(settings.dir, "cluster.log"))
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(arguments []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "", "folder for kubeconfigs, logs and state; what an earlier run left there is wiped")
	flags.StringVar(&s.manifest, "manifest", "", "YAML applied at start; what it binds to a service account, the user access-broker gets too")
	flags.StringVar(&s.seed, "seed", "", "\"demo\": namespaces, pods and roles to play with")
	flags.BoolVar(&s.exitWithStdin, "exit-with-stdin", false, "end when stdin is closed, so that a dead parent takes the cluster down")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() != 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.dir == "":
		return s, errors.New("--dir is required")
	case s.seed != "" && s.seed != "demo":
		return s, fmt.Errorf("unknown seed %q: the only one is demo", s.seed)
	}
	var err error
	s.dir, err = filepath.Abs(s.dir)
	return s, err
}

// run starts everything, says READY, and returns when the context ends or a part fails.
func run(ctx context.Context, s settings) error {
	if err := prepare(s.dir); err != nil {
		return err
	}
	keys, err := newKeys(s.dir)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	etcdURL, err := startEtcd(s.dir)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	server, err := startAPIServer(ctx, s.dir, etcdURL)
	if err != nil {
		return fmt.Errorf("apiserver: %w", err)
	}
	if err := keys.writeKubeconfigs(s.dir, server.url); err != nil {
		return fmt.Errorf("kubeconfigs: %w", err)
	}
	config := keys.internalConfig(server.url)
	if err := server.waitReady(ctx, config); err != nil {
		return err
	}
	if err := startControllers(ctx, config, keys.ca.pem); err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	if err := startNodes(ctx, config, keys, s.dir); err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	if err := seed(ctx, config, s); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	fmt.Println("READY", server.url)
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.failed:
		return fmt.Errorf("apiserver: %w", err)
	}
}

// prepare wipes what an earlier run left, by name, so that a wrong --dir loses nothing else, and sends every
// library's log to a file: stdout carries one line alone.
func prepare(dir string) error {
	for _, name := range []string{"state", "audit.log", "cluster.log", "etcd.log", "ca.crt", "admin.kubeconfig", "broker.kubeconfig", "broker.token"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "cluster.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	log.SetOutput(file)
	logging := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(logging)
	klog.SetOutput(file)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true"} {
		if err := logging.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}
