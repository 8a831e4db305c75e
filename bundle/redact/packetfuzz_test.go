package redact

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// FuzzStrictCapture: whatever file comes, strict redaction neither panics nor
// makes a file that it does not read, and a packet in it that is good loses its
// addresses.
func FuzzStrictCapture(f *testing.F) {
	for _, form := range packetForms() {
		f.Add(capture(form.link, form.frame), []byte(form.name))
	}
	f.Add(blockOf(blockNames, opt(1, ip1+"acme\x00")), opt(2, "ns.acme.com"))
	planted := capture(1, link2(0x0800, from4(17, udp(53, answer()))), link2(0x86DD, from6(6, tcp(80, "x"))))
	r := newRedactor(f, PayloadDefault)
	strict := func(in []byte) ([]byte, error) {
		return io.ReadAll(&reader{redactor: r, step: newPackets(bytes.NewReader(in), r.scanner, r.payload, counts{}, flip{})})
	}
	f.Fuzz(func(t *testing.T, file, options []byte) {
		if touches(file, options) {
			return
		}
		in := slices.Concat(planted, appendBlock(nil, blockPacket, packetBlock(0, file, options)), file)
		out, err := strict(in)
		if err != nil {
			if !errors.Is(err, ErrRedaction) {
				t.Fatal(err)
			}
			return
		}
		for _, a := range plantedAddresses() {
			if bytes.Contains(out, []byte(a)) {
				t.Fatalf("%x survives", a)
			}
		}
		if _, err := strict(out); err != nil {
			t.Fatalf("what strict wrote is refused: %v", err)
		}
	})
}

// touches says whether a fuzzed input has, or maps to, a planted address.
func touches(inputs ...[]byte) bool {
	for _, in := range inputs {
		for _, a := range plantedAddresses() {
			if bytes.Contains(in, []byte(a)) || bytes.Contains(in, []byte(mapped(a))) {
				return true
			}
		}
	}
	return false
}

// FuzzStrictPacket: whatever packet comes, no more of it is kept than under
// standard but for a longer DNS message, and every checksum that can still be
// told is as good as it was.
func FuzzStrictPacket(f *testing.F) {
	for _, form := range packetForms() {
		f.Add(form.link, seal(form.link, slices.Clone(form.frame)))
	}
	names := newPseudonyms(flip{})
	f.Fuzz(func(t *testing.T, link uint16, in []byte) {
		for _, payload := range []string{PayloadNone, PayloadDefault} {
			out, m := slices.Clone(in), message{}
			n, _ := rewriter{names: names, payload: payload, message: &m}.link(link, part{old: in, new: out})
			c := cutter{payload: payload}
			if most, _ := c.link(link, in); n+len(m.old) > most {
				t.Fatalf("payload %s: %d bytes kept, standard keeps %d", payload, n+len(m.old), most)
			}
			if len(m.old) > 0 {
				continue
			}
			whole := join(out[:n], in[n:])
			was, is := states(link, in, n), states(link, whole, n)
			if len(was) < len(is) {
				continue // options that the parser of the test does not know are gone
			}
			if diff := cmp.Diff(was, is); diff != "" {
				t.Fatalf("payload %s, %d bytes kept:\n%s", payload, n, diff)
			}
		}
	})
}

// TestStrictGarbled mutates packets one byte at a time: an address that stays
// where it was is mapped, or it is cut. Other bytes, of those left out, make an
// address into a number: of a connection, a tunnel or an echo.
func TestStrictGarbled(t *testing.T) {
	numbers := map[string]int{"IPv6 options": 55, "GRE with a source route": 34, "ICMP redirect": 34, "ICMP, not known": 34}
	names := newPseudonyms(flip{})
	for _, form := range packetForms() {
		for at := range form.frame {
			if at == numbers[form.name] {
				continue
			}
			for _, v := range []byte{0, 1, 4, 0x40, 0x7F, 0xFF} {
				in := slices.Clone(form.frame)
				in[at] ^= v
				if v == 0 {
					in[at] = 0
				}
				out, m := slices.Clone(in), message{}
				n, _ := rewriter{names: names, payload: PayloadDefault, message: &m}.link(form.link, part{old: in, new: out})
				for _, a := range plantedAddresses() {
					if bytes.Contains(out[:n], []byte(a)) || bytes.Contains(m.new, []byte(a)) {
						t.Errorf("%s with %#x at %d: %x survives", form.name, in[at], at, a)
					}
				}
			}
		}
	}
}

// benchFrames are packets as clusters have them: TCP both ways, in VXLAN and
// not, and now and then a DNS message.
func benchFrames() (all [][]byte) {
	for i := range 4000 {
		host := byte(i)
		body := strings.Repeat("x", 100+i%1200)
		one := join(link2(0x0800, from4(6, tcp(80, body))))
		two := link2(0x0800, from4(17, udp(4789, join([]byte{8, 0, 0, 0, 0, 0, 1, 0}, link2(0x86DD, from6(6, tcp(443, body)))))))
		three := link2(0x0800, from4(17, udp(53, []byte(query))))
		for _, frame := range [][]byte{one, two, one, two, one, two, one, two, one, three} {
			frame = slices.Clone(frame)
			frame[29], frame[33], frame[11] = host, host/3, host
			all = append(all, seal(1, frame))
		}
	}
	return all
}

// BenchmarkPackets redacts a capture under both policies, beside what tcprewrite
// does: it maps the addresses of a range to others, and mends checksums.
func BenchmarkPackets(b *testing.B) {
	frames := benchFrames()
	in := capture(1, frames...)
	redact := func(b *testing.B, r *Redactor) {
		b.SetBytes(int64(len(in)))
		for range b.N {
			if _, err := io.Copy(io.Discard, r.Reader("captures/a/b.pcapng", bytes.NewReader(in))); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(frames)*b.N)/b.Elapsed().Seconds(), "packets/s")
	}
	b.Run("standard", func(b *testing.B) { redact(b, newRedactor(b, "")) })
	b.Run("strict", func(b *testing.B) {
		r, err := New(PolicyStrict, Options{Key: pseudonym.Key{7}})
		if err != nil {
			b.Fatal(err)
		}
		redact(b, r)
	})
	b.Run("tcprewrite", func(b *testing.B) {
		dir := b.TempDir()
		from, to := filepath.Join(dir, "in.pcapng"), filepath.Join(dir, "out.pcap")
		if err := os.WriteFile(from, in, 0o600); err != nil {
			b.Fatal(err)
		}
		args := []string{"--infile=" + from, "--outfile=" + to, "--pnat=198.51.0.0/16:10.1.0.0/16,203.0.0.0/16:10.2.0.0/16", "--enet-smac=02:00:00:00:00:01", "--enet-dmac=02:00:00:00:00:02", "--fixcsum"}
		if _, err := exec.LookPath("tcprewrite"); err != nil {
			b.Skip(err)
		}
		start := time.Now()
		b.SetBytes(int64(len(in)))
		for range b.N {
			if out, err := exec.CommandContext(b.Context(), "tcprewrite", args...).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
		b.ReportMetric(float64(len(frames)*b.N)/time.Since(start).Seconds(), "packets/s")
	})
}
