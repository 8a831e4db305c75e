package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update after a wanted change):\n%s", path, diff)
	}
}

func info() abi.BundleInfo {
	return abi.BundleInfo{Name: "casefile-prod-20261121T090000Z", ID: "0123456789abcdef", Cluster: "prod", Created: "2026-11-21T09:00:00Z",
		Verified: true, Signer: "SHA256:Yb8nQ0", Labels: map[string]string{"ticket": "4711", "env": "prod"}, Note: "DNS is slow since noon", Complete: false, Redaction: "standard"}
}

func acceptRule() abi.Rule {
	return abi.Rule{ID: "app/accept-queue-overflow", Severity: abi.SeverityHigh, Layer: abi.LayerApp, Text: map[string]abi.Text{
		"en": {Title: "Accept queue overflows: new connections are dropped",
			Message:     "{where}: a full accept queue made the kernel drop {overflows} connections within {seconds} s; load {load}, ports {ports}, unnamed {nothing}, {not a param}.",
			Remediation: []string{"Look at why {where} is slow to accept: CPU throttling, a blocked event loop, too few workers.", "Raise the backlog of listen() and net.core.somaxconn together."},
			References:  []string{"https://docs.kernel.org/networking/ip-sysctl.html"},
			Doc:         "Clients see connection timeouts while the server looks idle.\n\nThe kernel counts ListenOverflows per network namespace.",
			Variants:    map[string]abi.Text{"full": {Title: "Accept queue of {where} is full", Remediation: []string{"Scale out {where}."}}}},
		"zh": {Title: "接受队列溢出，新连接被丢弃", Message: "{where}：接受队列已满，内核在 {seconds} 秒内丢弃了 {overflows} 个连接，请检查应用程序处理新连接的速度是否足够快，以及监听队列的长度是否合理。",
			Remediation: []string{"找出 {where} 接受连接缓慢的原因。"}},
	}}
}

func mtuRule() abi.Rule {
	return abi.Rule{ID: "underlay/mtu-mismatch", Severity: abi.SeverityCritical, Layer: abi.LayerUnderlay, Text: map[string]abi.Text{
		"en": {Title: "MTU differs along a path", Message: "{a} and {b} differ."}}}
}

// runs is a report with everything in it.
func runs() []abi.ModuleRun {
	delta := int64(24)
	pod := func(name, node string) abi.Subject {
		return abi.Subject{Kind: "Pod", Namespace: "shop", Name: name, Node: node}
	}
	return []abi.ModuleRun{
		{
			Declaration: abi.Declaration{Name: "builtin", Version: "0.1.0",
				Rules: []abi.Rule{acceptRule(), mtuRule(), {ID: "dns/coredns-unavailable", Layer: abi.LayerDNS}, {ID: "underlay/retransmissions"}, {ID: "node/cpu-throttled"}, {ID: "x/forgotten"}},
				Inputs: []abi.Input{{Name: "captures", Files: "captures/*/*.pcapng"}, {Name: "tcp", Counters: []string{"Tcp.RetransSegs", "Tcp.OutSegs"}},
					{Name: "pods", Resource: "v1/pods"}}},
			Result: abi.ModuleResult{Name: "builtin", Version: "0.1.0", Digest: "sha256:aa", Status: abi.ModuleOK, Millis: 12},
			Findings: []abi.ResolvedFinding{
				{Finding: abi.Finding{Rule: "app/accept-queue-overflow", Owner: "Deployment/shop/web", Subject: pod("web-1", "n1"), Confidence: "medium",
					Peer: &abi.Subject{Kind: "Service", Namespace: "shop", Name: "web"}, Affected: []abi.Subject{pod("a", ""), pod("b", ""), pod("c", ""), pod("d", ""), pod("e", ""), pod("f", ""), pod("g", "")},
					Params: map[string]any{"where": "Pod shop/web-1", "overflows": float64(24), "seconds": float64(10), "load": 1.25, "ports": []any{"8080", float64(9090)}}},
					Places: []abi.ReportedEvidence{
						{Path: "nodes/n1/netns/4026532001/1/proc/net/netstat", Line: 3, Value: "ListenOverflows 24", Delta: &delta, Seconds: 10.04},
						{Path: "nodes/n1/netns/4026532001/1/net/sockets.ndjson", Line: 17, Value: `{"family":"inet","proto":"tcp","state":"LISTEN","src":"0.0.0.0","sport":8080,"rqueue":129,"wqueue":128}`},
						{Path: "captures/pod_shop_web-1/n1__4026532001.pcapng", Packet: 42, Value: "SYN retransmitted"}}},
				{Finding: abi.Finding{Rule: "app/accept-queue-overflow", Variant: "full", Severity: abi.SeverityLow, Owner: "Deployment/shop/web", Subject: pod("web-2", "n2"), Params: map[string]any{"where": "Pod shop/web-2"}}},
				{Finding: abi.Finding{Rule: "underlay/mtu-mismatch", Subject: abi.Subject{Kind: "Node", Name: "n1", Node: "n1"}, Params: map[string]any{"a": "1500", "b": float64(1450)}},
					Places: []abi.ReportedEvidence{{Path: "nodes/n1/0/net/links.ndjson", Line: 2, Value: "mtu 1450"}}},
			},
			Outcomes: []abi.RuleResult{
				{Rule: "app/accept-queue-overflow", Outcome: abi.OutcomeFound}, {Rule: "underlay/mtu-mismatch", Outcome: abi.OutcomeFound},
				{Rule: "dns/coredns-unavailable", Outcome: abi.OutcomeClear},
				{Rule: "underlay/retransmissions", Outcome: abi.OutcomeUnknown, Missing: []string{"captures"}, Reason: "captures: no capture was asked for"},
				{Rule: "node/cpu-throttled", Outcome: abi.OutcomeUnknown, Missing: []string{"tcp"}, Reason: "the nodes were sampled once; collect with --samples 2"},
			},
		},
		{
			Declaration: abi.Declaration{Name: "site", Version: "2", Rules: []abi.Rule{{ID: "site/a"}, {ID: "site/b"}, {ID: "site/c"}}, Inputs: []abi.Input{{Name: "kmsg", Table: "nodes/*/kmsg.ndjson"}}},
			Result:      abi.ModuleResult{Name: "site", Version: "2", Digest: "sha256:bb", Status: abi.ModuleTimeout, Reason: "stopped after 30 s", Log: "starting\nstill here\n", Millis: 30000},
			Outcomes: []abi.RuleResult{{Rule: "site/a", Outcome: abi.OutcomeUnknown, Missing: []string{"kmsg"}, Reason: "kmsg: node/n2: agent never started"},
				{Rule: "site/b", Outcome: abi.OutcomeUnknown, Reason: "module site: timeout"}, {Rule: "site/c", Outcome: abi.OutcomeUnknown, Missing: []string{"resource v1/pods"}, Reason: "pods: denied"}},
		},
	}
}

func text(t *testing.T, r abi.Report, o TextOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	en := Build(info(), runs(), "en")
	golden(t, "report.en", text(t, en, TextOptions{Lang: "en"}))
	golden(t, "report.narrow", text(t, en, TextOptions{Width: 60}))
	golden(t, "report.color", text(t, en, TextOptions{Color: true}))
	golden(t, "report.zh", text(t, Build(info(), runs(), "zh"), TextOptions{Lang: "zh", Width: 72}))
	golden(t, "report.empty", text(t, Build(abi.BundleInfo{Name: "casefile-x", Complete: true}, nil, "en"), TextOptions{}))
	var b bytes.Buffer
	if err := JSON(&b, en); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(b.Bytes(), []byte("\n")) != 1 || !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
		t.Error("a report is not one line of JSON")
	}
	golden(t, "report.json", b.Bytes())
	for _, lang := range []string{"en", "zh"} {
		b.Reset()
		if err := Explain(&b, acceptRule(), lang, false); err != nil {
			t.Fatal(err)
		}
		golden(t, "explain."+lang, b.Bytes())
	}
}

func TestBuild(t *testing.T) {
	r := Build(info(), runs(), "en")
	if got := each(r.Findings, func(f abi.ReportedFind) string { return f.Severity + " " + f.Subject.Name }); !slices.Equal(got, []string{"critical n1", "high web-1", "low web-2"}) {
		t.Errorf("order %v", got)
	}
	if a, b := r.Findings[1].ID, r.Findings[2].ID; b != a+"-2" {
		t.Errorf("two findings of one owner: %s, %s", a, b)
	}
	moved := runs()
	moved[0].Findings[0].Subject.Name = "web-zzz"
	if got := Build(info(), moved, "zh").Findings[1].ID; got != r.Findings[1].ID {
		t.Errorf("the id changed with the pod and the language: %s, %s", got, r.Findings[1].ID)
	}
	shuffled := runs()
	slices.Reverse(shuffled)
	slices.Reverse(shuffled[1].Findings)
	slices.Reverse(shuffled[1].Outcomes)
	if diff := cmp.Diff(r, Build(info(), shuffled, "en")); diff != "" {
		t.Errorf("the order of runs matters:\n%s", diff)
	}
	for _, f := range r.Findings {
		if f.Rule == "x/forgotten" {
			t.Error("found without a finding")
		}
	}
	i := slices.IndexFunc(r.Rules, func(o abi.RuleResult) bool { return o.Rule == "x/forgotten" })
	if i < 0 || r.Rules[i].Outcome != abi.OutcomeUnknown {
		t.Errorf("a declared rule without outcome is not unknown: %v", r.Rules)
	}
	if f := Build(info(), []abi.ModuleRun{{Findings: []abi.ResolvedFinding{{Finding: abi.Finding{Rule: "a/b", Severity: "dreadful"}}}}}, "en").Findings[0]; f.Severity != abi.SeverityMedium || f.Title != "a/b" || f.Confidence != "high" {
		t.Errorf("a finding of an undeclared rule: %+v", f)
	}
}

func TestRender(t *testing.T) {
	params := map[string]any{"s": "x", "n": float64(3), "f": 0.125, "big": 1e18, "b": true, "l": []any{"a", float64(1)}, "o": map[string]any{"k": "v"}, "j": json.Number("12"), "brace": "{n}", "nil": nil, "i": 7}
	for template, want := range map[string]string{
		"":                        "",
		"plain":                   "plain",
		"{s} {n} {f}":             "x 3 0.125",
		"{big} {b} {l}":           "1e+18 true a, 1",
		"{o} {j} {i}":             `{"k":"v"} 12 7`,
		"{missing}, {nil}":        "?, ?",
		"{not one} {} { {1} {a-b": "{not one} {} { {1} {a-b",
		"{{s}}":                   "{x}",
		"{brace}":                 "{n}",
		"{s":                      "{s",
	} {
		if got := render(template, params); got != want {
			t.Errorf("%q: got %q, want %q", template, got, want)
		}
	}
}

const hostile = "a\x1b[31mred\x1b[0m\x1b]8;;http://evil\x07link\x1b]8;;\x1b\\ b\r\n\tc\x00\x7f\u009b2Jd\u202eevil\u2066\u200b\ufeff\x1bc\x1bP1;2q\x1b\\e\xff\u2028f\x1b"

func TestClean(t *testing.T) {
	if got, want := clean(hostile), "aredlink b  cdevile\ufffd f"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := cleanLines("a\nb\x1b[1m\tc"); got != "a\nb c" {
		t.Errorf("got %q", got)
	}
	if s := "网络 π é"; clean(s) != s {
		t.Errorf("%q became %q", s, clean(s))
	}
}

// TestInjection puts an attack into every string that comes from outside: no
// output may hold a control character that is not our own.
func TestInjection(t *testing.T) {
	h := hostile
	s := abi.Subject{Kind: h, Namespace: h, Name: h, Node: h, UID: h}
	tx := abi.Text{Title: h + "{p}", Message: h + "{p}", Remediation: []string{h + "{p}"}, References: []string{h}, Doc: h, Variants: map[string]abi.Text{h: {Title: h, Remediation: []string{h}}}}
	rule := abi.Rule{ID: h, Severity: h, Layer: h, Text: map[string]abi.Text{"en": tx}}
	run := abi.ModuleRun{
		Declaration: abi.Declaration{Name: h, Version: h, Rules: []abi.Rule{rule, {ID: h + "2"}}, Inputs: []abi.Input{{Name: h, Resource: h}}},
		Result:      abi.ModuleResult{Name: h, Version: h, Digest: h, Status: h, Reason: h, Log: h},
		Findings: []abi.ResolvedFinding{{Finding: abi.Finding{Rule: h, Severity: h, Confidence: h, Owner: h, Subject: s, Peer: &s, Affected: []abi.Subject{s}, FirstSeen: h, LastSeen: h,
			Params: map[string]any{"p": h, h: []any{h, map[string]any{h: h}}}}, Places: []abi.ReportedEvidence{{Path: h, Pointer: h, Value: h}}}},
		Outcomes: []abi.RuleResult{{Rule: h, Outcome: abi.OutcomeUnknown, Reason: h, Missing: []string{h, "captures" + h}}, {Rule: h, Outcome: abi.OutcomeClear, Reason: h}},
	}
	bundle := abi.BundleInfo{Name: h, ID: h, Cluster: h, Created: h, Verified: true, Signer: h, Labels: map[string]string{h: h}, Note: h, Redaction: h}
	r := Build(bundle, []abi.ModuleRun{run}, "en")
	var explained, printed bytes.Buffer
	if err := errors.Join(Explain(&explained, rule, "en", false), JSON(&printed, r)); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string][]byte{"text": text(t, r, TextOptions{}), "json": printed.Bytes(), "explain": explained.Bytes()} {
		if !utf8.Valid(out) {
			t.Errorf("%s: invalid UTF-8", name)
		}
		for _, c := range string(out) {
			if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c)) {
				t.Errorf("%s: %U comes through", name, c)
				break
			}
		}
		if bytes.Contains(out, []byte(`\u001b`)) || bytes.Contains(out, []byte(`\u202e`)) {
			t.Errorf("%s: an escaped control character comes through", name)
		}
	}
}

func TestWrap(t *testing.T) {
	long := "a path/that/is/far/longer/than/the/width/stays/whole and the rest 中文字符也会换行，标点不在行首。 end"
	for width := 10; width < 60; width++ {
		lines := wrap(long, width)
		for _, l := range lines {
			if displayWidth(l) > width+2 && strings.Contains(strings.TrimSpace(l), " ") {
				t.Errorf("width %d: line %q has %d columns", width, l, displayWidth(l))
			}
			if strings.HasPrefix(l, "，") || strings.HasPrefix(l, "。") {
				t.Errorf("width %d: %q begins with punctuation", width, l)
			}
		}
		squeeze := strings.NewReplacer(" ", "")
		if got := squeeze.Replace(strings.Join(lines, "")); got != squeeze.Replace(long) {
			t.Errorf("width %d: characters were lost: %q", width, got)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrors(t *testing.T) {
	r := Build(info(), runs(), "en")
	for name, err := range map[string]error{"text": Text(failingWriter{}, r, TextOptions{}), "json": JSON(failingWriter{}, r), "explain": Explain(failingWriter{}, acceptRule(), "en", false)} {
		if err == nil {
			t.Errorf("%s: a failing writer went unnoticed", name)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{a} {b} {", "x", "zh")
	f.Add(hostile+"{a}", hostile, "en")
	f.Add("{{a}}{a", "{a}", "")
	f.Fuzz(func(t *testing.T, template, value, lang string) {
		out := render(template, map[string]any{"a": value})
		for _, c := range out {
			if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
				t.Fatalf("%q: %U comes through", out, c)
			}
		}
		if !strings.Contains(template, "{") && out != clean(template) {
			t.Fatalf("%q became %q", template, out)
		}
		if lines := wrap(out, 20); strings.ReplaceAll(strings.Join(lines, ""), " ", "") != strings.ReplaceAll(out, " ", "") {
			t.Fatalf("wrap lost characters: %q", out)
		}
		var b bytes.Buffer
		rule := abi.Rule{ID: value, Text: map[string]abi.Text{lang: {Title: template, Doc: template, Remediation: []string{template}}}}
		if err := Explain(&b, rule, lang, true); err != nil {
			t.Fatal(err)
		}
	})
}
