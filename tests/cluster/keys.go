// Every key and certificate of the cluster: one authority, made anew at each start, that signs the API server,
// the nodes, the administrator, the broker and this program's own parts; and the kubeconfigs made of them.
// It leaves rights to RBAC: a certificate only says a name and groups.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	brokerUser = "access-broker"
	// The user of this program's own parts. Named apart so that the audit policy can leave it out.
	internalUser = "cluster-internal"
	kubeletUser  = "cluster-apiserver-to-node"
)

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// pair is a certificate and its key, both PEM.
type pair struct{ certificate, key []byte }

type keys struct {
	ca                                     *authority
	admin, broker, internal, kubelet, node pair
	brokerToken                            string
}

// newKeys makes everything and leaves in DIR what the API server reads as files.
func newKeys(dir string) (*keys, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	k := &keys{ca: ca}
	var server, accounts pair
	for _, wanted := range []struct {
		into   *pair
		name   string
		groups []string
	}{
		{&server, "cluster-apiserver", nil},
		{&k.node, "cluster-node", nil},
		{&k.admin, "cluster-admin", []string{"system:masters"}},
		{&k.internal, internalUser, []string{"system:masters"}},
		{&k.kubelet, kubeletUser, nil},
		{&k.broker, brokerUser, nil},
		{&accounts, "service-accounts", nil},
	} {
		if *wanted.into, err = ca.issue(wanted.name, wanted.groups); err != nil {
			return nil, err
		}
	}
	token := make([]byte, 24)
	rand.Read(token)
	k.brokerToken = hex.EncodeToString(token)
	for name, content := range map[string][]byte{
		"ca.crt":             ca.pem,
		"broker.token":       []byte(k.brokerToken),
		"state/ca.crt":       ca.pem,
		"state/server.crt":   server.certificate,
		"state/server.key":   server.key,
		"state/kubelet.crt":  k.kubelet.certificate,
		"state/kubelet.key":  k.kubelet.key,
		"state/accounts.key": accounts.key,
		"state/tokens.csv":   []byte(k.brokerToken + "," + brokerUser + "," + brokerUser + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := validity(pkix.Name{CommonName: "cluster-ca"})
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key, encode("CERTIFICATE", der)}, err
}

// issue signs a certificate good both as server on loopback and as client: this is a test's authority, and the
// name in the certificate is what the cluster's rights hang on.
func (a *authority) issue(name string, groups []string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := validity(pkix.Name{CommonName: name, Organization: groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	return pair{encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER)}, err
}

func validity(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		Subject:               subject,
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(30 * 24 * time.Hour),
		BasicConstraintsValid: true,
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (k *keys) writeKubeconfigs(dir, url string) error {
	for name, pair := range map[string]pair{"admin": k.admin, "broker": k.broker} {
		config := clientcmdapi.NewConfig()
		config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: k.ca.pem}
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.certificate, ClientKeyData: pair.key}
		config.Contexts[name] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: name}
		config.CurrentContext = name
		if err := clientcmd.WriteToFile(*config, filepath.Join(dir, name+".kubeconfig")); err != nil {
			return err
		}
	}
	return nil
}

// internalConfig is how this program's own parts reach the API server: without client-side rate limits.
func (k *keys) internalConfig(url string) *rest.Config {
	return &rest.Config{
		Host:            url,
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: k.ca.pem, CertData: k.internal.certificate, KeyData: k.internal.key},
	}
}
