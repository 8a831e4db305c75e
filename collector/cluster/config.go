package cluster

import (
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ConfigFlags are kubectl's own flags that decide which API server is talked
// to, and as whom. All may be empty.
type ConfigFlags struct {
	Kubeconfig            string
	Context               string
	Cluster               string
	User                  string
	As                    string
	AsGroups              []string
	Server                string
	Token                 string
	CertificateAuthority  string
	ClientCertificate     string
	ClientKey             string
	InsecureSkipTLSVerify bool
	TLSServerName         string
	RequestTimeout        time.Duration // of a single request; 0 is the default
}

// ErrNoConfig is returned when nothing says which API server to talk to.
var ErrNoConfig = errors.New("no kubeconfig: set KUBECONFIG, give --kubeconfig or --server, or use --host to collect this machine without Kubernetes")

// LoadConfig finds the client configuration as kubectl does ($KUBECONFIG,
// ~/.kube/config, then the service account of a pod) and applies the flags.
// The string is the cluster's name in the kubeconfig, "in-cluster" inside a pod.
func LoadConfig(f ConfigFlags) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	rules.MigrationRules = nil // they would write files
	rules.WarnIfAllMissing = false
	if f.Kubeconfig != "" {
		if _, err := os.Stat(f.Kubeconfig); err != nil {
			return nil, "", fmt.Errorf("--kubeconfig: %w", err)
		}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, f.overrides())
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig: %w", err)
	}
	cfg, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", ErrNoConfig
	}
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig: %w", err)
	}
	name := f.Cluster
	if name == "" {
		current := raw.CurrentContext
		if f.Context != "" {
			current = f.Context
		}
		if c := raw.Contexts[current]; c != nil {
			name = c.Cluster
		}
	}
	if name == "" {
		name = "cluster"
		if len(raw.Clusters) == 0 && f.Server == "" {
			name = "in-cluster"
		}
	}
	return cfg, name, nil
}

func (f ConfigFlags) overrides() *clientcmd.ConfigOverrides {
	o := &clientcmd.ConfigOverrides{CurrentContext: f.Context}
	if f.RequestTimeout > 0 {
		o.Timeout = f.RequestTimeout.String()
	}
	o.Context.Cluster, o.Context.AuthInfo = f.Cluster, f.User
	o.ClusterInfo.Server = f.Server
	o.ClusterInfo.CertificateAuthority = f.CertificateAuthority
	o.ClusterInfo.InsecureSkipTLSVerify = f.InsecureSkipTLSVerify
	o.ClusterInfo.TLSServerName = f.TLSServerName
	o.AuthInfo.Token = f.Token
	o.AuthInfo.ClientCertificate, o.AuthInfo.ClientKey = f.ClientCertificate, f.ClientKey
	o.AuthInfo.Impersonate, o.AuthInfo.ImpersonateGroups = f.As, f.AsGroups
	return o
}
