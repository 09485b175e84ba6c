// The real kube-apiserver, run inside this process on a loopback port that the kernel chose: RBAC, an audit log
// of everything that is not this program's own doing, its default admission. It promises /readyz before anything
// else goes on; what lives in the cluster is left to the controllers, the nodes and the seed.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// Requests by the program's own parts are left out, so that a test can read the audit log as the list of what
// clients did. The received stage repeats what the later stages say.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "` + internalUser + `"]
- level: Metadata
`

type apiServer struct {
	url    string
	failed chan error
}

func startAPIServer(ctx context.Context, dir, etcdURL string) (*apiServer, error) {
	state := func(name string) string { return filepath.Join(dir, "state", name) }
	if err := os.WriteFile(state("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := options.NewServerRunOptions()
	server.SecureServing.Listener = listener
	server.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port

	named := server.Flags()
	flags := pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
	for _, set := range named.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse([]string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // loopback is no valid endpoint address
		"--service-cluster-ip-range=10.0.0.0/24",
		"--allow-privileged=true",
		"--etcd-servers=" + etcdURL,
		"--cert-dir=" + state("apiserver"),
		"--tls-cert-file=" + state("server.crt"),
		"--tls-private-key-file=" + state("server.key"),
		"--client-ca-file=" + state("ca.crt"),
		"--token-auth-file=" + state("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + state("accounts.key"),
		"--service-account-signing-key-file=" + state("accounts.key"),
		"--kubelet-certificate-authority=" + state("ca.crt"),
		"--kubelet-client-certificate=" + state("kubelet.crt"),
		"--kubelet-client-key=" + state("kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + state("audit-policy.yaml"),
		"--audit-log-path=" + filepath.Join(dir, "audit.log"),
	}); err != nil {
		return nil, err
	}
	if err := server.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := server.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	started := &apiServer{url: "https://" + listener.Addr().String(), failed: make(chan error, 1)}
	go func() { started.failed <- app.Run(ctx, completed) }()
	return started, nil
}

// waitReady returns once /readyz is ok, which includes that the bootstrap roles of RBAC are there.
func (s *apiServer) waitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	deadline := time.After(2 * time.Minute)
	for {
		body, err := client.RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).DoRaw(ctx)
		if err == nil {
			return nil
		}
		select {
		case failure := <-s.failed:
			return fmt.Errorf("apiserver: %w", failure)
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("apiserver: not ready after 2 minutes: %w\n%s", err, body)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
