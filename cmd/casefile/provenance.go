package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
)

// provenance is the predicate of provenance.sigstore.json: what made the
// bundle, what it was asked for and what it was not allowed to see.
type provenance struct {
	Producer  string                    `json:"producer"`
	Binary    binary                    `json:"binary"`
	Agents    map[string]string         `json:"agents,omitempty"`  // SHA-256 by platform, of those that this binary carries
	Modules   map[string]string         `json:"modules,omitempty"` // SHA-256 by name, of the analyzers that it carries
	Plan      json.RawMessage           `json:"plan,omitempty"`    // as collection/plan.json; left out when it is very long
	Started   time.Time                 `json:"started"`
	Ended     time.Time                 `json:"ended"`
	Redaction redactionClaim            `json:"redaction"`
	Sources   map[string]map[string]int `json:"sources"` // number of results by kind of source and status
	Denied    []deniedThing             `json:"denied,omitempty"`
	Omitted   int                       `json:"deniedOmitted,omitempty"`
	Merged    []mergedMaterial          `json:"merged,omitempty"` // the bundles that this one was merged of
}

// binary is the program that ran.
type binary struct {
	SHA256 string `json:"sha256,omitempty"`
	Go     string `json:"go"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
}

type redactionClaim struct {
	Policy  string      `json:"policy"`
	Payload string      `json:"payload"`
	Rules   []ruleCount `json:"rules,omitempty"`
}

// ruleCount is how often a rule masked something. A rule called password is no
// key of the JSON, lest the redactor mask its count.
type ruleCount struct {
	Rule  string `json:"rule"`
	Count int    `json:"count"`
}

// deniedThing is a gap in the rights of who collected.
type deniedThing struct {
	Source string `json:"source"`
	Path   string `json:"path,omitempty"`
}

const (
	provenancePath = "collection/provenance.json" // what the redactor takes it for; no such file is stored
	maxDenied      = 48 << 10                     // bytes of denied things
	maxPlan        = 48 << 10                     // bytes of the plan
)

// provenance makes what the bundle says of its own making, when the index is
// known. It passes the redactor as everything else does.
func (j *job) provenance(results []collector.Result) (func([32]byte) ([]byte, error), error) {
	summary := j.redactor.Summary()
	p := provenance{
		Producer: "casefile " + version, Binary: binary{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH},
		Started: j.started.UTC().Truncate(time.Second), Ended: j.started.Add(time.Since(j.began)).UTC().Truncate(time.Second),
		Redaction: redactionClaim{Policy: summary.Policy, Payload: summary.Payload},
	}
	for _, rule := range sortedKeys(summary.Rules) {
		p.Redaction.Rules = append(p.Redaction.Rules, ruleCount{rule, summary.Rules[rule]})
	}
	p.count(results)
	if err := p.carried(); err != nil {
		return nil, err
	}
	var err error
	if p.Binary.SHA256, err = ownDigest(); err != nil {
		j.note("the provenance cannot name this program by its digest: %v", err)
	}
	if p.Plan, err = json.Marshal(j.plan); err != nil {
		return nil, err
	}
	if len(p.Plan) > maxPlan {
		p.Plan = nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var clean bytes.Buffer
	if _, err := io.CopyN(&clean, j.redactor.Reader(provenancePath, bytes.NewReader(b)), bundle.MaxProvenance); err == nil {
		return nil, fmt.Errorf("%w: provenance of more than %d bytes", bundle.ErrTooLarge, bundle.MaxProvenance)
	} else if err != io.EOF { //nolint:errorlint // CopyN gives io.EOF as it is
		return nil, fmt.Errorf("provenance: %w", err)
	}
	return func(index [32]byte) ([]byte, error) {
		st, err := bundle.NewStatement("index.jsonl", index, bundle.ProvenancePredicate, json.RawMessage(clean.Bytes()))
		if err != nil {
			return nil, err
		}
		return bundle.Attest(j.signer, st)
	}, nil
}

// count fills in what the results say.
func (p *provenance) count(results []collector.Result) {
	p.Sources = map[string]map[string]int{}
	room := maxDenied
	for _, r := range results {
		kind, _, _ := strings.Cut(r.Source, "/")
		if p.Sources[kind] == nil {
			p.Sources[kind] = map[string]int{}
		}
		p.Sources[kind][string(r.Status)]++
		if r.Status != collector.StatusDenied {
			continue
		}
		if room -= len(r.Source) + len(r.Path) + 32; room < 0 {
			p.Omitted++
			continue
		}
		p.Denied = append(p.Denied, deniedThing{r.Source, r.Path})
	}
}

// carried names the programs embedded in this one.
func (p *provenance) carried() error {
	files, err := artifacts.ReadDir("artifacts")
	if err != nil {
		return err
	}
	p.Agents, p.Modules = map[string]string{}, map[string]string{}
	for _, f := range files {
		name, isModule := strings.CutSuffix(f.Name(), ".wasm")
		if isModule {
			b, err := artifacts.ReadFile("artifacts/" + f.Name())
			if err != nil {
				return err
			}
			p.Modules[name] = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		arch, isAgent := strings.CutPrefix(strings.TrimSuffix(name, ".gz"), "agent-linux-")
		if !isAgent {
			continue
		}
		b, err := agentBinary(arch)
		if err != nil {
			return err
		}
		p.Agents["linux/"+arch] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return nil
}

// ownDigest is the SHA-256 of the program that runs.
func ownDigest() (string, error) {
	f, err := os.Open("/proc/self/exe") // right even when the file was replaced meanwhile
	if err != nil {
		name, err := os.Executable()
		if err != nil {
			return "", err
		}
		if f, err = os.Open(name); err != nil {
			return "", err
		}
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// readProvenance takes the predicate apart, for verify.
func readProvenance(st *bundle.Statement) (*provenance, error) {
	var p provenance
	if err := json.Unmarshal(st.Predicate, &p); err != nil {
		return nil, fmt.Errorf("provenance: %w: %w", bundle.ErrDamaged, err)
	}
	return &p, nil
}
