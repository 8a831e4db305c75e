package abi

// Schemas of the documents that analyze --format json prints.
const (
	SchemaFinding = "casefile.dev/finding/v1"
	SchemaReport  = "casefile.dev/report/v1"
)

// Report is the result of analysing one bundle. Two runs over the same bundle
// give the same bytes apart from Millis.
type Report struct {
	Schema   string         `json:"schema"`
	Bundle   BundleInfo     `json:"bundle"`
	Findings []ReportedFind `json:"findings"`
	Rules    []RuleResult   `json:"rules"`
	Modules  []ModuleResult `json:"modules"`
}

// BundleInfo says which bundle a report is about and how far it was trusted.
type BundleInfo struct {
	Name      string            `json:"name"` // its top folder
	ID        string            `json:"id"`
	Cluster   string            `json:"cluster,omitempty"`
	Created   string            `json:"created"`
	Verified  bool              `json:"verified"`
	Signer    string            `json:"signer,omitempty"` // fingerprint of the key
	Labels    map[string]string `json:"labels,omitempty"`
	Note      string            `json:"note,omitempty"`
	Complete  bool              `json:"complete"`
	Redaction string            `json:"redaction,omitempty"`
}

// ReportedFind is a finding as the world sees it: rendered and with its
// evidence resolved. See DESIGN §5.
type ReportedFind struct {
	Schema      string             `json:"schema"`
	ID          string             `json:"id"`
	Rule        string             `json:"rule"`
	Severity    string             `json:"severity"`
	Confidence  string             `json:"confidence"`
	Layer       string             `json:"layer"`
	Subject     Subject            `json:"subject"`
	Peer        *Subject           `json:"peer,omitempty"`
	Affected    []Subject          `json:"affected,omitempty"`
	FirstSeen   string             `json:"firstSeen,omitempty"`
	LastSeen    string             `json:"lastSeen,omitempty"`
	Params      map[string]any     `json:"params,omitempty"`
	Title       string             `json:"title"`
	Message     string             `json:"message"`
	Remediation []string           `json:"remediation,omitempty"`
	References  []string           `json:"references,omitempty"`
	Evidence    []ReportedEvidence `json:"evidence"`
	CausedBy    []string           `json:"causedBy,omitempty"`
	Module      string             `json:"module"` // name@version sha256:…
}

// ReportedEvidence is a place in the bundle.
type ReportedEvidence struct {
	Path    string  `json:"path"`
	Line    int     `json:"line,omitempty"`
	Pointer string  `json:"pointer,omitempty"`
	Packet  int     `json:"packet,omitempty"`
	Value   string  `json:"value,omitempty"`
	Delta   *int64  `json:"delta,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// RuleResult is the outcome of one rule.
type RuleResult struct {
	Rule    string   `json:"rule"`
	Outcome string   `json:"outcome"`
	Reason  string   `json:"reason,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

// Statuses of a module.
const (
	ModuleOK          = "ok"
	ModuleFailed      = "failed"      // trapped, exited non-zero, printed rubbish
	ModuleTimeout     = "timeout"     // stopped by the wall clock
	ModuleFuel        = "fuel"        // used up the steps it may take
	ModuleMemory      = "memory"      // wanted more memory than it may have
	ModuleOutput      = "output"      // printed more than it may
	ModuleRefused     = "refused"     // not a module, a foreign import, an unsupported ABI or input, or not signed as it must be
	ModuleUnavailable = "unavailable" // the sandbox itself could not start
)

// ModuleResult says how a module ended.
type ModuleResult struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest"`           // sha256:…
	Signer  string `json:"signer,omitempty"` // fingerprint of the key that signed it
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Log     string `json:"log,omitempty"` // what it printed on stderr, capped
	Fuel    int64  `json:"fuel,omitempty"`
	Millis  int64  `json:"millis"`

	Unguarded []string `json:"unguarded,omitempty"` // bounds that this system does not offer its sandbox
}
