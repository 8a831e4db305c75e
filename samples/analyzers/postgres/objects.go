package main

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/casefile-io/casefile/sdk"
)

// Port is that of PostgreSQL; the operator allows no other.
const port = 5432

// Labels that the operator puts on its pods.
const clusterLabel = "postgres.example.com/cluster"

// Cluster is postgres.example.com/v1 clusters, as far as the rules need it.
type Cluster struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		Instances   int               `json:"instances"`
		Parameters  map[string]string `json:"parameters"`
		Synchronous struct {
			Number   int    `json:"number"`
			FallBack string `json:"fallBack"` // "never" (the default): commits wait; "async": they do not
		} `json:"synchronous"`
	} `json:"spec"`
	Status struct {
		Primary   string     `json:"primary"`
		Instances []Instance `json:"instances"`
		Archive   struct {
			LastSuccess string `json:"lastSuccess"`
			LastFailure string `json:"lastFailure"`
			Pending     int    `json:"pendingFiles"`
		} `json:"archive"`
		Conditions []Condition `json:"conditions"`
	} `json:"status"`
}

// Instance is what the operator last saw of one instance.
type Instance struct {
	Name        string `json:"name"`
	Role        string `json:"role"`
	Ready       bool   `json:"ready"`
	Streaming   bool   `json:"streaming"`
	Synchronous bool   `json:"synchronous"`
	LagBytes    int64  `json:"lagBytes"`
}

// Condition is one of a cluster's conditions.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Since   string `json:"lastTransitionTime"`
}

// Meta is of an object's metadata what the rules need.
type Meta struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	UID       string            `json:"uid"`
	Labels    map[string]string `json:"labels"`
}

// Pod is v1 pods.
type Pod struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		NodeName    string `json:"nodeName"`
		HostNetwork bool   `json:"hostNetwork"`
		Volumes     []struct {
			Name  string `json:"name"`
			Claim struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
		} `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase  string `json:"phase"`
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
	} `json:"status"`
}

func (p Pod) subject() sdk.Subject {
	return sdk.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, Node: p.Spec.NodeName, UID: p.Metadata.UID}
}

func (p Pod) name() string { return p.Metadata.Namespace + "/" + p.Metadata.Name }

// Claim is v1 persistentvolumeclaims.
type Claim struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		VolumeName string `json:"volumeName"`
	} `json:"spec"`
}

// Node is nodes/<node>/node.json: which network namespace is which pod's.
type Node struct {
	Name  string `json:"name"`
	Netns []struct {
		Inode  uint64 `json:"inode"`
		PodUID string `json:"podUID"`
	} `json:"netns"`
}

// group is a cluster and its pods.
type group struct {
	sdk.Row[Cluster]
	pods []sdk.Row[Pod] // by name
}

// groups are the clusters in order of name, with their pods.
func groups(in *sdk.Input) []group {
	return sdk.Memo(in, "groups", func(in *sdk.Input) []group {
		var list []group
		for _, c := range clustersInput().All(in) {
			g := group{Row: c}
			for _, p := range podsInput().All(in) {
				if p.V.Metadata.Namespace == c.V.Metadata.Namespace && p.V.Metadata.Labels[clusterLabel] == c.V.Metadata.Name {
					g.pods = append(g.pods, p)
				}
			}
			slices.SortFunc(g.pods, func(a, b sdk.Row[Pod]) int { return cmp.Compare(a.V.Metadata.Name, b.V.Metadata.Name) })
			list = append(list, g)
		}
		slices.SortFunc(list, func(a, b group) int { return cmp.Compare(a.name(), b.name()) })
		return list
	})
}

func (g group) name() string { return g.V.Metadata.Namespace + "/" + g.V.Metadata.Name }

func (g group) subject() sdk.Subject {
	return sdk.Subject{Kind: "Cluster", Namespace: g.V.Metadata.Namespace, Name: g.V.Metadata.Name, UID: g.V.Metadata.UID}
}

// owner is what a finding's identity hangs on: pods come and go.
func (g group) owner() string { return "Cluster " + g.name() }

// pod finds one of the cluster's pods by name.
func (g group) pod(name string) (sdk.Row[Pod], bool) {
	i := slices.IndexFunc(g.pods, func(p sdk.Row[Pod]) bool { return p.V.Metadata.Name == name })
	if i < 0 {
		return sdk.Row[Pod]{}, false
	}
	return g.pods[i], true
}

func (g group) primary() (sdk.Row[Pod], bool) { return g.pod(g.V.Status.Primary) }

func (g group) instance(name string) (Instance, bool) {
	i := slices.IndexFunc(g.V.Status.Instances, func(x Instance) bool { return x.Name == name })
	if i < 0 {
		return Instance{}, false
	}
	return g.V.Status.Instances[i], true
}

// connections is how many others than superusers may have.
func (g group) connections() int {
	return g.parameter("max_connections", 100) - g.parameter("superuser_reserved_connections", 3)
}

func (g group) parameter(name string, byDefault int) int {
	if n, err := strconv.Atoi(g.V.Spec.Parameters[name]); err == nil {
		return n
	}
	return byDefault
}

// params are those that every finding has.
func (g group) params() map[string]any {
	return map[string]any{"namespace": g.V.Metadata.Namespace, "cluster": g.V.Metadata.Name}
}
