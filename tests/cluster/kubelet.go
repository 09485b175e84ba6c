// The part of the kubelet's API that the API server calls: logs, exec, attach, port-forward. Streams are served
// by Kubernetes' own library; node-ws translates WebSocket itself, as kubelets of 1.36 do.
// Only the API server's certificate gets in: this endpoint runs commands on the host, and loopback is shared.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

const idleTimeout = 4 * time.Hour

type node struct {
	name            string
	agent           *agent
	speaksWebSocket bool
	port            int32
	// self reaches this same server, as the API server does: translating means calling oneself in SPDY.
	self *http.Transport
}

func (n *node) serve(keys *keys) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.port = int32(listener.Addr().(*net.TCPAddr).Port)
	roots := x509.NewCertPool()
	roots.AddCert(keys.ca.certificate)
	own, err := tls.X509KeyPair(keys.node.certificate, keys.node.key)
	if err != nil {
		return err
	}
	caller, err := tls.X509KeyPair(keys.kubelet.certificate, keys.kubelet.key)
	if err != nil {
		return err
	}
	n.self = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{caller}}}

	routes := http.NewServeMux()
	routes.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.logs)
	routes.HandleFunc("/exec/{namespace}/{pod}/{container}", n.exec)
	routes.HandleFunc("/attach/{namespace}/{pod}/{container}", n.attach)
	routes.HandleFunc("/portForward/{namespace}/{pod}", n.portForward)
	server := &http.Server{Handler: routes, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
		VerifyPeerCertificate: func(_ [][]byte, chains [][]*x509.Certificate) error {
			if name := chains[0][0].Subject.CommonName; name != kubeletUser {
				return fmt.Errorf("%q is not the API server", name)
			}
			return nil
		},
	}}
	go func() { klog.ErrorS(server.ServeTLS(listener, "", ""), "node's server ended", "node", n.name) }()
	return nil
}

func (n *node) logs(w http.ResponseWriter, r *http.Request) {
	container, err := n.agent.find(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	book := container.book(query.Get("previous") == "true")
	if book == nil {
		http.Error(w, "previous terminated container not found", http.StatusBadRequest)
		return
	}
	wanted := reading{follow: query.Get("follow") == "true", timestamps: query.Get("timestamps") == "true", tail: -1, limit: -1}
	if number, err := strconv.Atoi(query.Get("tailLines")); err == nil {
		wanted.tail = number
	}
	if number, err := strconv.ParseInt(query.Get("limitBytes"), 10, 64); err == nil {
		wanted.limit = number
	}
	if number, err := strconv.Atoi(query.Get("sinceSeconds")); err == nil {
		wanted.since = time.Now().Add(-time.Duration(number) * time.Second)
	}
	if at, err := time.Parse(time.RFC3339, query.Get("sinceTime")); err == nil {
		wanted.since = at
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	book.send(r.Context(), w, w.(http.Flusher).Flush, wanted)
}

func (n *node) exec(w http.ResponseWriter, r *http.Request) {
	n.stream(w, r, func(options *remotecommand.Options) {
		remotecommand.ServeExec(w, r, n, r.PathValue("namespace")+"/"+r.PathValue("pod"), "", r.PathValue("container"),
			r.URL.Query()[v1.ExecCommandParam], options,
			idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	})
}

func (n *node) attach(w http.ResponseWriter, r *http.Request) {
	n.stream(w, r, func(options *remotecommand.Options) {
		remotecommand.ServeAttach(w, r, n, r.PathValue("namespace")+"/"+r.PathValue("pod"), "", r.PathValue("container"),
			options, idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	})
}

// stream serves exec and attach: directly, or translated from the WebSocket protocol that only node-ws speaks.
func (n *node) stream(w http.ResponseWriter, r *http.Request, serve func(*remotecommand.Options)) {
	if _, err := n.agent.find(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if n.speaksWebSocket && wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		translator.NewStreamTranslatorHandler(n.again(r), n.self, 0, translator.Options{
			Stdin: options.Stdin, Stdout: options.Stdout, Stderr: options.Stderr, Tty: options.TTY,
		}).ServeHTTP(w, r)
		return
	}
	serve(options)
}

func (n *node) portForward(w http.ResponseWriter, r *http.Request) {
	if n.speaksWebSocket && wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		translator.NewTunnelingHandler(proxy.NewUpgradeAwareHandler(n.again(r), n.self, false, true, n)).ServeHTTP(w, r)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, n, r.PathValue("namespace")+"/"+r.PathValue("pod"), "", options,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
}

// again is the address of the same request on this same server.
func (n *node) again(r *http.Request) *url.URL {
	return &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", n.port), Path: r.URL.Path, RawQuery: r.URL.RawQuery}
}

// Error answers for the proxy inside a tunnel.
func (n *node) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func (n *node) ExecInContainer(_ context.Context, name, _, containerName string, argv []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	namespace, pod, _ := strings.Cut(name, "/")
	container, failure := n.agent.find(namespace, pod, containerName)
	if failure != nil {
		return failure
	}
	request := container.command(argv)
	request.tty, request.stdin = tty, in
	// A nil stream in a non-nil interface would be written to.
	if out != nil {
		request.stdout = out
	}
	if err != nil && !tty {
		request.stderr = err
	}
	process, failure := start(request)
	if failure != nil {
		return failure
	}
	go follow(process, resize)
	if code := process.wait(); code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// follow hands terminal sizes on. The sizes end when the client has gone, and a terminal that goes away hangs up.
func follow(process *process, resize <-chan remotecommand.TerminalSize) {
	if resize == nil || process.terminal == nil {
		return
	}
	for size := range resize {
		process.resize(size.Width, size.Height)
	}
	process.signal(syscall.SIGHUP)
}

func (n *node) AttachContainer(ctx context.Context, name, _, containerName string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	namespace, pod, _ := strings.Cut(name, "/")
	container, failure := n.agent.find(namespace, pod, containerName)
	if failure != nil {
		return failure
	}
	gone := make(chan struct{})
	if in != nil && container.spec.Stdin {
		go func() {
			io.Copy(container.input, in)
			if container.spec.StdinOnce && !tty {
				container.input.Close()
			}
		}()
	}
	if resize != nil {
		go func() {
			defer close(gone)
			for size := range resize {
				container.resize(size.Width, size.Height)
			}
		}()
	}
	if out == nil {
		out = nowhere{}
	}
	over, detach := container.attach(out)
	defer detach()
	select {
	case <-over:
	case <-gone:
	case <-ctx.Done():
	}
	return nil
}

type nowhere struct{}

func (nowhere) Write(data []byte) (int, error) { return len(data), nil }
func (nowhere) Close() error                   { return nil }

// PortForward joins the stream with a port of this host, where a pod's processes listen.
func (n *node) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	if errors.Is(err, net.ErrClosed) || utilnet.IsConnectionReset(err) {
		return nil
	}
	return err
}
