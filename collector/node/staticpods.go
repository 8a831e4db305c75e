package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"
)

const (
	maxManifest  = 1 << 20
	maxManifests = 200
)

// manifestDirs are where kubelets look for pods of their own.
func manifestDirs() []string {
	return []string{"/etc/kubernetes/manifests", "/etc/kubelet.d", "/var/lib/rancher/k3s/agent/pod-manifests", "/var/lib/rancher/rke2/agent/pod-manifests"}
}

// manifestJSON turns a manifest into JSON, in which form the values of its
// environment and arguments are redacted as those of any pod. What is no object
// is refused.
func manifestJSON(text []byte) ([]byte, error) {
	b, err := yaml.YAMLToJSON(text)
	if err != nil { // it quotes what it does not understand, which may be a secret
		return nil, errors.New("it is neither YAML nor JSON")
	}
	if !bytes.HasPrefix(b, []byte("{")) || !json.Valid(b) {
		return nil, errors.New("it is not an object")
	}
	if len(b) > 4*maxManifest {
		return nil, fmt.Errorf("it is %d bytes of JSON", len(b))
	}
	return b, nil
}
