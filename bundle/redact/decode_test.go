package redact

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestDecodeBounds: what is too deep or too large to look into goes.
func TestDecodeBounds(t *testing.T) {
	std := base64.StdEncoding.EncodeToString
	deep := "conf: password=" + planted
	for range maxDecode + 2 {
		deep = std([]byte(deep))
	}
	bomb := std(zipped(strings.Repeat("0 harmless ", 1<<18)))
	bare := std(zipped("nothing of interest in here, but compressed"))
	cut := std(zipped("nothing of interest in here, but compressed" + planted))[:40]
	zstd := "KLUv/SRMYQIAQmFzZTY0IG9mIHpzdGQgY2Fubm90IGJlIHNlZW4="
	for name, c := range map[string]struct{ in, gone string }{
		"nested": {"x " + deep + " y", deep[:20]}, "bomb": {"x " + bomb + " y", bomb[:20]}, "cut gzip": {"x " + cut + " y", cut[:20]}, "zstd": {"x " + zstd + " y", "KLUv"},
	} {
		if got := redacted(t, "a.log", c.in+"\n"); strings.Contains(got, c.gone) || !strings.HasPrefix(got, "x [REDACTED:") || !strings.HasSuffix(got, "] y\n") {
			t.Errorf("%s became %.100q", name, got)
		}
	}
	if got := redacted(t, "a.log", "x "+bare+" y\n"); got != "x "+bare+" y\n" {
		t.Errorf("harmless gzip became %q", got)
	}
}

// TestMembers: binary gzip in a log is dropped, and nothing else.
func TestMembers(t *testing.T) {
	z := string(zipped("token=" + planted))
	for in, want := range map[string]string{
		"a\n" + z + "b\n":  "a\n[REDACTED:compressed-data]b\n",
		z + z:              "[REDACTED:compressed-data][REDACTED:compressed-data]",
		"a\x1f":            "a\x1f",
		"a\x1f\x8b":        "a\x1f\x8b",
		"\x1f\x1f\x8b\x07": "\x1f\x1f\x8b\x07",
		"a" + z[:len(z)-6]: "a[REDACTED:compressed-data]",
		strings.Repeat("x\n", 32760) + z + "after\n": strings.Repeat("x\n", 32760) + "[REDACTED:compressed-data]after\n",
	} {
		if got := redacted(t, "nodes/n1/logs/x.log", in); got != want {
			t.Errorf("%.60q became %.80q, want %.80q", in, got, want)
		}
	}
}

// TestUnescaped: every byte of the plain text knows where it was.
func TestUnescaped(t *testing.T) {
	var u unescaped
	in := `a%3Db\u0026c\"d\\ne\x41&quot;&#65;%zz\q`
	u.read([]byte(in))
	if string(u.plain) != `a=b&c"d\neA"A%zz\q` {
		t.Errorf("%q", u.plain)
	}
	if len(u.at) != len(u.plain)+1 || int(u.at[len(u.plain)]) != len(in) {
		t.Fatalf("%d positions for %d bytes", len(u.at), len(u.plain))
	}
	for i, at := range u.at[:len(u.plain)] {
		if i > 0 && at <= u.at[i-1] {
			t.Errorf("position %d does not grow", i)
		}
	}
}

// TestWindows: a text gives the same result wherever the borders of windows
// fall in it.
func TestWindows(t *testing.T) {
	var snippets strings.Builder
	for _, p := range corpus(2) {
		if p.path != logPath || p.carrier == "gzip in a log" || len(p.in) > 400 || strings.Contains(p.kind, "pem") || strings.Contains(p.kind, "service account") {
			continue
		}
		if snippets.Len() < 24<<10 && len(p.in)%7 == 3 {
			snippets.WriteString(p.in)
		}
	}
	text := snippets.String()
	want := redacted(t, logPath, text)
	step := 997
	if testing.Short() {
		step = 9973
	}
	for _, filler := range []string{"filler of a line\n", "x "} {
		for pad := textWindow - lookahead - len(text); pad < textWindow; pad += step {
			before := strings.Repeat(filler, pad/len(filler)+1)[:pad] + "\n"
			got := redacted(t, logPath, before+text)
			if got != before+want {
				n := 0
				for n < min(len(got), len(before+want)) && got[n] == (before + want)[n] {
					n++
				}
				t.Fatalf("filler %q, %d bytes: differs at %d:\n got  %.200q\n want %.200q", filler, pad, n, got[max(0, n-80):], (before + want)[max(0, n-80):])
			}
		}
	}
}

// TestDecodersAreLinear: no encoding makes a scan slow.
func TestDecodersAreLinear(t *testing.T) {
	std := base64.StdEncoding.EncodeToString
	for name, unit := range map[string]string{"percent": "%41", "percent and plus": "%2B+", "query": "?+", "unicode": `\u0041`, "newlines": `\n`, "entities": "&quot;", "dots": "abcdef.", "base64": std([]byte("harmless text ")),
		"base64 of base64": std([]byte(std([]byte("harmless text in there")))), "gzip": std(zipped(strings.Repeat("a", 1<<14))) + " ", "gzip members": string(zipped("x")), "H4sI": "H4sI", "nul": "a\x00", "hex": "0123456789abcdef"} {
		in := strings.Repeat(unit, (1<<20)/len(unit))
		start := time.Now()
		if _, err := io.Copy(io.Discard, newRedactor(t, "").Reader("a.log", strings.NewReader(in))); err != nil {
			t.Fatal(err)
		}
		rate := float64(len(in)) / time.Since(start).Seconds() / 1e6
		t.Logf("%-20s %8.1f MB/s", name, rate)
		if rate < 0.02 {
			t.Errorf("%s: %.2f MB/s", name, rate)
		}
	}
}

// FuzzDecode plants a secret behind encodings, among whatever else there is.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("x=%3D\\u0041&quot;"), uint8(0))
	f.Add(zipped("abc"), uint8(1))
	f.Add([]byte("\x1f\x8b\x08\x00"), uint8(2))
	f.Add([]byte("H4sIAAAAAAAA"), uint8(3))
	f.Add([]byte("a\x00b\x00"), uint8(4))
	r := newRedactor(f, "")
	f.Fuzz(func(t *testing.T, noise []byte, how uint8) {
		if bytes.Contains(noise, []byte(planted)) {
			return
		}
		secret := "conf: 1\npassword=" + planted + "\n"
		in, gone := "", []string{planted}
		switch how % 5 {
		case 0:
			in = url.QueryEscape(secret)
		case 1:
			in = base64.StdEncoding.EncodeToString([]byte(secret))
			gone = append(gone, fragments(planted)...)
		case 2:
			in = string(zipped(secret))
		case 3:
			in = base64.StdEncoding.EncodeToString(zipped(secret))
			gone = append(gone, in)
		case 4:
			in = unicodeEscaped(secret)
		}
		out, err := io.ReadAll(r.Reader("a.log", strings.NewReader(string(noise)+"\n"+in+"\n"+string(noise))))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gone {
			if bytes.Contains(out, []byte(g)) {
				t.Fatalf("survives: %q", out)
			}
		}
		if len(out) > 10*len(in)+20*len(noise)+128 {
			t.Fatalf("%d bytes became %d", len(in)+2*len(noise), len(out))
		}
	})
}

// FuzzCanaries: a canary among anything is found.
func FuzzCanaries(f *testing.F) {
	c, err := NewCanaries([]string{planted})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("x"), []byte("\x1f\x8b\x08"))
	f.Add(zipped("abc"), []byte("%"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		in := append(append(bytes.Clone(before), "\n"+planted...), after...)
		n := 0
		if err := c.Find(bytes.NewReader(in), func(Hit) { n++ }); err != nil {
			t.Fatal(err)
		}
		if n == 0 && !bytes.Contains(before, []byte(gzipMagic)) {
			t.Fatalf("not found in %q", in)
		}
	})
}
