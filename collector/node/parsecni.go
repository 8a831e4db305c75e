package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// parseLease reads a file of host-local: the address is its name ("_" stands
// for ":" where names may not have one); others are locks and notes.
func parseLease(name string, text []byte) (leaseRow, bool) {
	addr, err := netip.ParseAddr(strings.ReplaceAll(name, "_", ":"))
	if err != nil {
		return leaseRow{}, false
	}
	id, rest, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return leaseRow{IP: addr.String(), ContainerID: plainText(id), Interface: plainText(rest)}, true
}

func plainText(b []byte) string { return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?") }

// parseResult reads a cached result of libcni, without the configuration that
// it repeats in base64.
func parseResult(text []byte) (*cniResult, error) {
	var file struct {
		ContainerID string      `json:"containerId"`
		IfName      string      `json:"ifName"`
		NetworkName string      `json:"networkName"`
		NetNS       string      `json:"netns"`
		Args        [][2]string `json:"cniArgs"`
		Result      struct {
			Interfaces []cniInterface `json:"interfaces"`
			IPs        []cniAddress   `json:"ips"`
			Routes     []cniRoute     `json:"routes"`
		} `json:"result"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("CNI result: %w", err)
	}
	row := &cniResult{Network: file.NetworkName, ContainerID: file.ContainerID, Dev: file.IfName, NetnsPath: file.NetNS,
		Interfaces: file.Result.Interfaces, IPs: file.Result.IPs, Routes: file.Result.Routes}
	for _, a := range file.Args {
		switch a[0] {
		case "K8S_POD_NAMESPACE":
			row.PodNamespace = a[1]
		case "K8S_POD_NAME":
			row.PodName = a[1]
		case "K8S_POD_UID":
			row.PodUID = a[1]
		}
	}
	return row, nil
}

// parseSandbox reads a sandbox's config.json as containerd and CRI-O leave it
// below /run; ok is false for other containers. Their environment is not
// decoded.
func parseSandbox(text []byte) (s sandbox, ok bool) {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
		Linux       struct {
			Namespaces []struct{ Type, Path string } `json:"namespaces"`
		} `json:"linux"`
	}
	if json.Unmarshal(text, &spec) != nil {
		return s, false
	}
	get := func(keys ...string) string {
		for _, k := range keys {
			if v := spec.Annotations[k]; v != "" {
				return v
			}
		}
		return ""
	}
	if get("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType") != "sandbox" {
		return s, false
	}
	s.podUID = get("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid")
	s.podNamespace = get("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
	s.podName = get("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == "network" {
			s.netns = ns.Path
		}
	}
	return s, s.netns != ""
}

// sandbox is where the runtime keeps a pod's network namespace.
type sandbox struct{ podUID, podNamespace, podName, netns string }

// hideLogins blanks the values of auth in TOML and JSON.
func hideLogins(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		name := bytes.TrimLeft(line, " \t\"'")
		rest, ok := bytes.CutPrefix(name, []byte("auth"))
		rest = bytes.TrimLeft(rest, " \t\"'")
		if !ok || len(rest) == 0 || rest[0] != '=' && rest[0] != ':' || bytes.HasSuffix(bytes.TrimSpace(rest), []byte("{")) {
			out = append(out, line...)
			continue
		}
		out = append(append(out, line[:len(line)-len(rest)+1]...), " \"[REDACTED:password]\"\n"...)
	}
	return out
}
