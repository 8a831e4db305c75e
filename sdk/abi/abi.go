// Package abi holds the shapes that cross the border between the host and a
// module: what describe prints, what analyze prints, and what the host lays
// into /in. It is the only package that both sides import; std only.
//
// # Life of a module
//
// A module is a WASI preview 1 command. argv[1] is [VerbDescribe] or
// [VerbAnalyze]. describe prints one [Declaration] as JSON. analyze reads
// /in/NAME.ndjson, /in/NAME.index ([Index]), declared files below /bundle and
// /config.json ([Config]), and prints JSON lines: an [Outcome] if the line has
// an "outcome" key, a [Fact] if it has a "fact" key, else a [Finding].
//
// # Rows
//
// Every row carries [KeyAt], an opaque integer; a finding cites it as
// {"at":n} and the host fills in path, line, packet and value. Rows of tables
// and counters below nodes/ also carry [KeyNode], [KeyNetns] and [KeySample].
package abi

// The range of ABI versions that this package speaks.
const (
	VersionMin = 1
	VersionMax = 1
)

// Verbs a module is called with, as argv[1].
const (
	VerbDescribe = "describe"
	VerbAnalyze  = "analyze"
)

// Keys that the host adds to a projected row.
const (
	KeyAt     = "_at"     // integer, cited by evidence
	KeyNode   = "_node"   // string, rows below nodes/<node>/
	KeyNetns  = "_netns"  // integer inode of a pod's namespace; 0 or absent for the node's own
	KeySample = "_sample" // integer k of nodes/<node>/…/<k>/…
)

// Severities, worst first.
const (
	SeverityCritical = "critical"
	SeverityHigh     = "high"
	SeverityMedium   = "medium"
	SeverityLow      = "low"
	SeverityInfo     = "info"
)

// Severities lists them, worst first.
func Severities() []string {
	return []string{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityInfo}
}

// Layers, in the order a report walks them.
const (
	LayerUnderlay     = "underlay"
	LayerCNI          = "cni"
	LayerService      = "service"
	LayerDNS          = "dns"
	LayerApp          = "app"
	LayerControlPlane = "control-plane"
	LayerNode         = "node"
	LayerWorkload     = "workload"
)

// Layers lists them from the wire up.
func Layers() []string {
	return []string{LayerUnderlay, LayerCNI, LayerService, LayerDNS, LayerApp, LayerControlPlane, LayerNode, LayerWorkload}
}

// Scopes of a module.
const (
	ScopeCluster = "cluster"
	ScopeNode    = "node"
)

// Outcomes of a rule.
const (
	OutcomeFound   = "found"
	OutcomeClear   = "clear"
	OutcomeUnknown = "unknown"
)

// Declaration is what describe prints.
type Declaration struct {
	ABI     [2]int     `json:"abi"` // lowest and highest version spoken
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Doc     string     `json:"doc,omitempty"`
	Rules   []Rule     `json:"rules"`
	Scope   string     `json:"scope,omitempty"` // ScopeCluster when empty
	Inputs  []Input    `json:"inputs,omitempty"`
	Facts   []FactDecl `json:"facts,omitempty"` // what a module of scope node tells modules of scope cluster
	Limits  Limits     `json:"limits,omitzero"`
}

// FactDecl names a fact, topic/name; the name is its module's alone.
type FactDecl struct {
	Fact string `json:"fact"`
	Doc  string `json:"doc,omitempty"`
}

// Rule is one thing that a module looks for. Text is keyed by language, "en"
// at least; its templates name params as {param}.
type Rule struct {
	ID       string          `json:"id"`
	Severity string          `json:"severity"`
	Layer    string          `json:"layer"`
	Text     map[string]Text `json:"text"`
}

// Text is a rule in one language.
type Text struct {
	Title       string   `json:"title"`
	Message     string   `json:"message"`
	Remediation []string `json:"remediation,omitempty"`
	References  []string `json:"references,omitempty"`
	Doc         string   `json:"doc,omitempty"` // symptom, how it is checked, folklore: what `explain` prints

	// Variants are other wordings for a rule that can be broken in several
	// ways; a finding picks one by name. See Text.Variant.
	Variants map[string]Text `json:"variants,omitempty"`
}

// Variant returns the text for a finding of that variant: what the variant
// leaves empty, and all of it when the name is unknown or empty, is t's own.
func (t Text) Variant(name string) Text {
	v := t.Variants[name]
	t.Variants = nil
	if v.Title != "" {
		t.Title = v.Title
	}
	if v.Message != "" {
		t.Message = v.Message
	}
	if len(v.Remediation) > 0 {
		t.Remediation = v.Remediation
	}
	if len(v.References) > 0 {
		t.References = v.References
	}
	if v.Doc != "" {
		t.Doc = v.Doc
	}
	return t
}

// Input declares one thing that a module reads; just one of the kinds is set.
// Fields, Where and Form go with every kind that has rows, which is all but
// Files.
type Input struct {
	Name     string   `json:"name"`               // [a-z0-9][a-z0-9._-]*, names the files in /in
	Resource string   `json:"resource,omitempty"` // "v1/pods", "apps/v1/deployments"
	Table    string   `json:"table,omitempty"`    // glob of NDJSON files; ** stands for any number of folders
	Counters []string `json:"counters,omitempty"` // "TcpExt.ListenOverflows", "nf_conntrack.drop", "sysctl.net.netfilter.nf_conntrack_max"
	Files    string   `json:"files,omitempty"`    // glob, laid out below /bundle
	Flows    string   `json:"flows,omitempty"`    // glob of captures: a row for each connection and place, see [Flow]
	DNS      string   `json:"dns,omitempty"`      // glob of captures: a row for each query and place, see [DNS]
	Logs     string   `json:"logs,omitempty"`     // whose lines: "coredns", "kube-system/coredns-*/*", "kubelet", see [Log]
	FactRows string   `json:"facts,omitempty"`    // the name of a fact that modules of scope node tell
	Fields   []string `json:"fields,omitempty"`   // "metadata.name", "status.containerStatuses[].{name,restartCount}"
	Where    string   `json:"where,omitempty"`    // CEL over the source row, named row
	Match    string   `json:"match,omitempty"`    // RE2, with Logs: only lines that match
	Form     string   `json:"form,omitempty"`     // FormNDJSON or FormRows to have just that file; both when empty
}

// Forms of an input's rows.
const (
	FormNDJSON = "ndjson"
	FormRows   = "rows"
)

// Limits a module asks for; the host may give less.
type Limits struct {
	MemoryMiB int   `json:"memoryMiB,omitempty"`
	Fuel      int64 `json:"fuel,omitempty"` // of one run of analyze
}

// Counter is a row of a counters input. T1 and Delta are absent when there was
// one sample; Seconds is the monotonic time between the samples.
type Counter struct {
	At      int64   `json:"_at"`
	Node    string  `json:"_node"`
	Netns   uint64  `json:"_netns,omitempty"`
	Name    string  `json:"name"`
	T0      int64   `json:"t0"`
	T1      *int64  `json:"t1,omitempty"`
	Delta   *int64  `json:"delta,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Index is /in/NAME.index: whether an input is whole, and what it lacks.
type Index struct {
	Complete bool      `json:"complete"`
	Rows     int       `json:"rows"`
	Files    []string  `json:"files,omitempty"` // bundle paths that were read, or laid out below /bundle
	Missing  []Missing `json:"missing,omitempty"`
}

// Missing is one source that an input lacks.
type Missing struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// Config is /config.json.
type Config struct {
	ABI         int               `json:"abi"`
	CaptureTime string            `json:"captureTime"` // RFC 3339: the time the bundle was made
	Settings    map[string]string `json:"settings,omitempty"`
}

// Subject names an object that a finding is about.
type Subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Node      string `json:"node,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// Finding is one line of analyze's output.
type Finding struct {
	Rule       string         `json:"rule"`
	Variant    string         `json:"variant,omitempty"`    // which of the rule's texts, see Text.Variants
	Severity   string         `json:"severity,omitempty"`   // the rule's own when empty
	Confidence string         `json:"confidence,omitempty"` // high when empty
	Owner      string         `json:"owner,omitempty"`      // owning workload, part of the finding's id; the subject when empty
	Subject    Subject        `json:"subject"`
	Peer       *Subject       `json:"peer,omitempty"`
	Affected   []Subject      `json:"affected,omitempty"`
	FirstSeen  string         `json:"firstSeen,omitempty"`
	LastSeen   string         `json:"lastSeen,omitempty"`
	Params     map[string]any `json:"params,omitempty"`
	Evidence   []Evidence     `json:"evidence,omitempty"`
}

// Evidence cites a row by At, or a place in a declared file by Path with Line
// or Packet (both count from 1). Value is what to show there; the host fills
// it in from the row when it is empty.
type Evidence struct {
	At      int64   `json:"at,omitempty"`
	Path    string  `json:"path,omitempty"`
	Line    int     `json:"line,omitempty"`
	Packet  int     `json:"packet,omitempty"`
	Pointer string  `json:"pointer,omitempty"`
	Value   string  `json:"value,omitempty"`
	Delta   *int64  `json:"delta,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Outcome is a line of analyze's output: the result of a rule that the module
// has finished. A rule with neither finding nor outcome counts as unknown.
type Outcome struct {
	Rule    string   `json:"rule"`
	Outcome string   `json:"outcome"`
	Reason  string   `json:"reason,omitempty"`
	Missing []string `json:"missing,omitempty"` // names of inputs, or sources, that were lacking
}

// Fact is a line of a module of scope node: what it tells of its node. A
// module of scope cluster that asks for the fact sees a row of Value's keys (of
// the key "value" if it is no object) and _node; citing that row cites Evidence.
type Fact struct {
	Fact     string     `json:"fact"`
	Value    any        `json:"value"`
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Log is a row of a logs input: one line of a log.
type Log struct {
	At        int64             `json:"_at"`
	Node      string            `json:"_node,omitempty"` // a node's own log
	Unit      string            `json:"unit,omitempty"`  // of a node's log: kubelet, containerd, kernel
	Namespace string            `json:"namespace,omitempty"`
	Pod       string            `json:"pod,omitempty"`
	Container string            `json:"container,omitempty"`
	Previous  bool              `json:"previous,omitempty"` // of the container's last run but this
	Time      string            `json:"time,omitempty"`     // RFC 3339, if the line begins with it
	Line      string            `json:"line"`               // without the time
	Groups    map[string]string `json:"groups,omitempty"`   // of Match, by name
}
