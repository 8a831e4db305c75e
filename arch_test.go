// Package casefile_test holds the tests of the project as a whole: who may
// import whom, how long a file may grow, and that every package has a manual.
package casefile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/casefile-io/casefile/"

// layer says what the packages below a folder may import: folders of this
// module ("/..." takes in what lies below) and modules of others. The longest
// folder that fits a package decides.
type layer struct {
	dir   string
	ours  []string
	other []string
}

var kubernetes = []string{"k8s.io/", "sigs.k8s.io/"}

func layers() []layer {
	return []layer{
		{"cmd/casefile", []string{"collector/...", "bundle/...", "analyzers-wasm/...", "sdk/...", "cmd/casefile/...", "samples/bundles"},
			append([]string{"github.com/urfave/cli/v2", "golang.org/x/term", "golang.org/x/sys"}, kubernetes...)},
		{"cmd/casefile-agent", []string{"collector", "collector/node/...", "collector/capture/...", "collector/probe", "collector/sidecar", "collector/agent/...", "bundle", "bundle/redact/..."},
			[]string{"golang.org/x/sys"}},
		{"collector", nil, []string{"golang.org/x/sys"}},
		{"collector/agent", []string{"collector"}, nil},
		{"collector/cluster", []string{"collector", "collector/agent"}, append([]string{"golang.org/x/sync"}, kubernetes...)},
		{"collector/cluster/launch", []string{"collector", "collector/agent/...", "collector/cluster", "collector/cluster/launch/..."},
			append([]string{"github.com/google/go-containerregistry"}, kubernetes...)},
		{"collector/cluster/serve", []string{"collector", "collector/cluster"}, kubernetes},
		{"collector/cluster/apitest", nil, kubernetes},
		{"collector/node", []string{"collector", "collector/node/..."}, []string{"github.com/cilium/ebpf", "golang.org/x/sys", "sigs.k8s.io/yaml"}},
		{"collector/node/ebpf", []string{"collector"}, []string{"github.com/cilium/ebpf", "golang.org/x/sys"}},
		{"collector/node/journal", nil, []string{"github.com/klauspost/compress", "github.com/ulikunitz/xz"}},
		{"collector/probe", []string{"collector"}, []string{"golang.org/x/sys", "golang.org/x/net"}},
		{"collector/sidecar", []string{"collector"}, []string{"golang.org/x/sys"}},
		{"collector/capture", []string{"collector", "collector/capture/filter"}, []string{"golang.org/x/sys", "golang.org/x/net/bpf"}},
		{"bundle", []string{"bundle/redact"}, []string{"github.com/klauspost/compress", "github.com/sigstore/sigstore",
			"github.com/secure-systems-lab/go-securesystemslib", "golang.org/x/text"}},
		{"bundle/review", nil, []string{"github.com/gopacket/gopacket"}},
		{"bundle/encrypt", []string{"bundle"}, []string{"filippo.io/age", "golang.org/x/crypto/chacha20poly1305"}},
		{"bundle/registry", nil, []string{"github.com/google/go-containerregistry"}},
		{"bundle/kms", nil, []string{"github.com/sigstore/sigstore"}},
		{"bundle/timestamp", nil, nil},
		{"bundle/redact", []string{"bundle/redact/pseudonym"}, []string{"golang.org/x/net/dns", "golang.org/x/text"}},
		{"bundle/redact/pseudonym", nil, nil},
		{"analyzers-wasm/host", []string{"sdk/abi", "analyzers-wasm/input", "analyzers-wasm/input/flow", "analyzers-wasm/host/meter"}, []string{"github.com/tetratelabs/wazero", "golang.org/x/sys"}},
		{"analyzers-wasm/host/meter", nil, nil},
		{"analyzers-wasm/conform", []string{"analyzers-wasm/host", "analyzers-wasm/input", "sdk/abi", "sdk/analyzertest/cases"}, nil},
		{"analyzers-wasm/input", []string{"sdk/abi", "analyzers-wasm/input/flow"}, []string{"cel.dev/cel-go"}},
		{"analyzers-wasm/input/flow", []string{"sdk/abi"}, nil},
		{"analyzers-wasm/input/inputtest", []string{"sdk/abi", "analyzers-wasm/input"}, nil},
		{"analyzers-wasm/report", []string{"sdk", "sdk/abi"}, nil},
		{"analyzers-wasm/rules", []string{"sdk/...", "analyzers-wasm/rules/..."}, nil},
		{"analyzers-wasm/builtin", []string{"sdk/...", "analyzers-wasm/rules/..."}, nil},
		{"sdk", []string{"sdk/..."}, nil},
		{"samples", []string{"sdk/..."}, nil},
	}
}

type goPackage struct {
	ImportPath, Dir, Doc string
	Imports              []string
	GoFiles              []string
	Module               *struct{ Path string }
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Doc,Imports,GoFiles,Module", "./...")
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(&out); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		dir := strings.TrimPrefix(p.ImportPath, module)
		l, ok := layerOf(dir)
		if !ok {
			if len(p.GoFiles) > 0 {
				t.Errorf("%s: no layer of the package map has this folder; add it with what it may import", dir)
			}
			continue
		}
		for _, imp := range p.Imports {
			if !l.allows(imp) {
				t.Errorf("%s must not import %s (layer %s)", dir, imp, l.dir)
			}
		}
	}
}

func layerOf(dir string) (layer, bool) {
	var best layer
	for _, l := range layers() {
		if (dir == l.dir || strings.HasPrefix(dir, l.dir+"/")) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}

func (l layer) allows(imp string) bool {
	if rest, ours := strings.CutPrefix(imp, module); ours {
		for _, a := range l.ours {
			if root, deep := strings.CutSuffix(a, "/..."); rest == a || deep && (rest == root || strings.HasPrefix(rest, root+"/")) {
				return true
			}
		}
		return false
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	for _, a := range l.other {
		if strings.HasPrefix(imp, a) {
			return true
		}
	}
	return false
}

// TestLayersRefuse keeps TestImports honest: the forbidden arrows are refused.
func TestLayersRefuse(t *testing.T) {
	for from, imp := range map[string]string{
		"bundle":                    module + "collector",
		"bundle/redact":             module + "bundle",
		"sdk":                       "github.com/tetratelabs/wazero",
		"sdk/abi":                   module + "bundle",
		"collector/node":            module + "bundle",
		"collector/cluster":         module + "sdk/abi",
		"analyzers-wasm/host":       module + "bundle",
		"analyzers-wasm/rules/dns":  "k8s.io/api/core/v1",
		"collector":                 module + "cmd/casefile",
		"cmd/casefile-agent":        "k8s.io/client-go/kubernetes",
		"analyzers-wasm/report":     module + "analyzers-wasm/host",
		"collector/capture/filter":  module + "collector/node",
		"collector/cluster/launch2": module + "bundle",
	} {
		if l, ok := layerOf(from); !ok || l.allows(imp) {
			t.Errorf("%s may import %s", from, imp)
		}
	}
}

func TestPackagesHaveManuals(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestFileLength(t *testing.T) {
	const limit = 400
	for _, p := range listPackages(t) {
		for _, f := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(b, []byte("\n")); n > limit {
				t.Errorf("%s/%s has %d lines, more than %d: is it two things in one room?", p.ImportPath, f, n, limit)
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	allowed := map[string]bool{"collector": true, "bundle": true, "analyzers-wasm": true, "sdk": true, "cmd": true, "samples": true,
		"go.mod": true, "go.sum": true, "README.md": true, "README.zh.md": true, "Makefile": true, "LICENSE": true,
		"CHANGELOG.md": true, "RATIONALE.md": true, "arch_test.go": true}
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	for _, f := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(f, "/")
		if !allowed[top] && !strings.HasPrefix(top, ".") {
			t.Errorf("%s does not belong at the top", top)
		}
	}
}
