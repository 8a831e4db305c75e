package cluster

import "k8s.io/client-go/tools/clientcmd"

// ConfigNames gives what the kubeconfig that the flags choose calls the cluster
// and its user.
func ConfigNames(f ConfigFlags) []Name {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	rules.MigrationRules = nil // they would write files
	set := NewNameSet()
	set.Add(NameCluster, f.Cluster)
	set.Add(NameCluster, f.Context)
	set.Add(NameUser, f.User)
	set.Add(NameUser, f.As)
	raw, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, f.overrides()).RawConfig()
	if err != nil {
		return set.List() // without a kubeconfig it names nothing; LoadConfig says so where it matters
	}
	current := raw.CurrentContext
	if f.Context != "" {
		current = f.Context
	}
	set.Add(NameCluster, current)
	if c := raw.Contexts[current]; c != nil {
		set.Add(NameCluster, c.Cluster)
		set.Add(NameUser, c.AuthInfo)
	}
	return set.List()
}
