package kube

import (
	"encoding/json"
	"sort"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

// Service is v1/services.
type Service struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		Type      string            `json:"type"`
		ClusterIP string            `json:"clusterIP"`
		Selector  map[string]string `json:"selector"`
		Ports     []ServicePort     `json:"ports"`
	} `json:"spec"`
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Name       string      `json:"name"`
	Protocol   string      `json:"protocol"`
	Port       int         `json:"port"`
	TargetPort IntOrString `json:"targetPort"`
}

// IntOrString is a port's number or name.
type IntOrString string

// UnmarshalJSON takes both spellings.
func (v *IntOrString) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*v = IntOrString(s)
		return nil
	}
	var n int
	err := json.Unmarshal(b, &n)
	*v = IntOrString(strconv.Itoa(n))
	return err
}

// ServicesInput is the declared input of Services.
func ServicesInput() sdk.RowSource[Service] { return sdk.Resource[Service]("services", "v1/services") }

// Headless says whether the Service has no virtual address.
func (s Service) Headless() bool { return s.Spec.ClusterIP == "None" }

// Subject names the Service.
func (s Service) Subject() sdk.Subject {
	return sdk.Subject{Kind: "Service", Namespace: s.Metadata.Namespace, Name: s.Metadata.Name, UID: s.Metadata.UID}
}

// IsClusterDNS says whether the Service is the cluster's DNS.
func (s Service) IsClusterDNS() bool {
	return s.Metadata.Namespace == "kube-system" && (s.Metadata.Name == "kube-dns" || s.Metadata.Name == "coredns")
}

// Target is the number that the port has in a pod; false when it is a name
// that no container of the pod declares.
func (p ServicePort) Target(pod Pod) (int, bool) {
	t := string(p.TargetPort)
	if t == "" || t == "0" {
		return p.Port, true
	}
	if n, err := strconv.Atoi(t); err == nil {
		return n, true
	}
	for _, list := range [][]Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range list {
			for _, cp := range c.Ports {
				if cp.Name == t && protocol(cp.Protocol) == protocol(p.Protocol) {
					return cp.ContainerPort, true
				}
			}
		}
	}
	return 0, false
}

func protocol(p string) string {
	if p == "" {
		return "TCP"
	}
	return p
}

// TCP says whether the port is one of TCP.
func (p ServicePort) TCP() bool { return protocol(p.Protocol) == "TCP" }

// SelectorText writes a selector as kubectl's -l takes it.
func SelectorText(selector map[string]string) string {
	var parts []string
	for k, v := range selector {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

// EndpointSlice is discovery.k8s.io/v1/endpointslices.
type EndpointSlice struct {
	Metadata  Meta       `json:"metadata"`
	Endpoints []Endpoint `json:"endpoints"`
	Ports     []struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	} `json:"ports"`
}

// Endpoint is one address of a slice. An absent condition means ready, false
// does not; therefore the whole map is read.
type Endpoint struct {
	Addresses  []string        `json:"addresses"`
	Conditions map[string]bool `json:"conditions"`
}

// Serves says whether traffic is sent to the endpoint: it is ready, or the
// last resort of one that terminates and still answers.
func (e Endpoint) Serves() bool {
	ready, known := e.Conditions["ready"]
	return ready || !known || e.Conditions["serving"] && e.Conditions["terminating"]
}

// SlicesInput is the declared input of EndpointSlices.
func SlicesInput() sdk.RowSource[EndpointSlice] {
	return sdk.Resource[EndpointSlice]("endpointslices", "discovery.k8s.io/v1/endpointslices")
}

// Slices finds the EndpointSlices of Services.
type Slices map[string][]sdk.Row[EndpointSlice]

// SlicesOf reads the EndpointSlices once for all rules.
func SlicesOf(in *sdk.Input) Slices {
	return sdk.Memo(in, "kube.Slices", func(in *sdk.Input) Slices {
		s := Slices{}
		for _, r := range SlicesInput().All(in) {
			m := r.V.Metadata
			key := m.Namespace + "/" + m.Labels["kubernetes.io/service-name"]
			s[key] = append(s[key], r)
		}
		return s
	})
}

// Of returns the slices of a Service.
func (s Slices) Of(svc Service) []sdk.Row[EndpointSlice] {
	return s[svc.Metadata.Namespace+"/"+svc.Metadata.Name]
}

// Count counts the endpoints of slices and those that serve.
func Count(slices []sdk.Row[EndpointSlice]) (all, serving int) {
	for _, r := range slices {
		for _, e := range r.V.Endpoints {
			all++
			if e.Serves() {
				serving++
			}
		}
	}
	return all, serving
}

// Deployment is apps/v1/deployments.
type Deployment struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		Replicas int `json:"replicas"` // the API server always writes it: absent is 0
		Template struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		Available int `json:"availableReplicas"`
	} `json:"status"`
}

// DeploymentsInput is the declared input of Deployments.
func DeploymentsInput() sdk.RowSource[Deployment] {
	return sdk.Resource[Deployment]("deployments", "apps/v1/deployments")
}
