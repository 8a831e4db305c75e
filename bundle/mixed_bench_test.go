package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mixed makes what a cluster yields: objects, kernel text, logs, packets with
// payloads half of which are random, by turns from pools that are longer than
// any window. fill is called for each file.
type mixed struct {
	pools [4][]byte
	rnd   *rand.Rand
	total int64 // bytes that each gives
}

const mixedPool = 4 << 20

func newMixed() *mixed {
	m := &mixed{rnd: rand.New(rand.NewPCG(11, 12))}
	for k := range m.pools {
		b := make([]byte, 0, mixedPool+64<<10)
		for len(b) < mixedPool {
			b = m.unit(b, k)
		}
		m.pools[k] = b[:mixedPool]
	}
	return m
}

// unit appends one object, table, burst of lines or packet.
func (m *mixed) unit(b []byte, kind int) []byte {
	r := m.rnd
	id := func() string {
		return fmt.Sprintf("%08x-%04x-4%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.Uint64()>>16)
	}
	switch kind {
	case 0:
		ns, app := r.IntN(40), r.IntN(200)
		return fmt.Appendf(b, `{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":"2026-11-%02dT%02d:%02d:%02dZ","labels":{"app":"app-%d","pod-template-hash":"%x"},"name":"app-%d-%x","namespace":"ns-%d","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"app-%d","uid":"%s"}],"resourceVersion":"%d","uid":"%s"},"spec":{"containers":[{"image":"registry.example/team-%d/app-%d:%d.%d","imagePullPolicy":"IfNotPresent","name":"main","resources":{"limits":{"cpu":"%dm","memory":"%dMi"}},"terminationMessagePath":"/dev/termination-log","volumeMounts":[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access","readOnly":true}]}],"dnsPolicy":"ClusterFirst","nodeName":"worker-%03d","restartPolicy":"Always"},"status":{"conditions":[{"status":"True","type":"Ready"},{"status":"True","type":"ContainersReady"}],"containerStatuses":[{"containerID":"containerd://%016x%016x%016x%016x","ready":true,"restartCount":%d}],"phase":"Running","podIP":"10.%d.%d.%d"}}`+"\n",
			r.IntN(30), r.IntN(24), r.IntN(60), r.IntN(60), app, r.Uint32(), app, r.Uint32(), ns, app, id(), r.IntN(1e8), id(), ns, app, r.IntN(9), r.IntN(30), 100*r.IntN(20), 64*r.IntN(32), r.IntN(200), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.IntN(5), r.IntN(256), r.IntN(256), r.IntN(256))
	case 1:
		for i := range 20 {
			b = fmt.Appendf(b, "%4d: %08X:%04X %08X:%04X %02X 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 %016x 20 4 30 10 -1\n", i, r.Uint32(), r.IntN(1<<16), r.Uint32(), r.IntN(1<<16), r.IntN(11), r.IntN(2000), r.IntN(1e7), r.Uint64())
		}
		return b
	case 2:
		verbs := []string{"GET", "POST", "PUT", "DELETE"}
		return fmt.Appendf(b, "2026-11-21T%02d:%02d:%02d.%06dZ INFO  handler=%s path=/api/v1/orders/%s status=%d bytes=%d client=10.%d.%d.%d duration=%dms trace=%016x\n", r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e6), verbs[r.IntN(4)], id(), 200+100*r.IntN(4), r.IntN(1e5), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(900), r.Uint64())
	}
	for range 40 + r.IntN(200) {
		b = append(b, 0x45, 0, byte(r.IntN(4)), 0x10, 0xac, 0x10, byte(r.IntN(8)))
		if r.IntN(2) == 0 {
			b = append(b, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()))
		}
	}
	return b
}

// each gives files until they are total bytes: mostly small ones, some of MiB.
func (m *mixed) each(yield func(path string, class Class, r io.Reader, size int64) error) error {
	names := []string{"cluster/resources/core/v1/pods/ns-%d.ndjson", "nodes/n-%d/0/proc/net/tcp", "cluster/logs/ns/pod-%d/main.log", "captures/c/n-%d.pcapng"}
	kinds := []Class{ClassCluster, ClassNodes, ClassLogs, ClassCaptures}
	for i, sum := 0, int64(0); sum < m.total; i++ {
		k := []int{0, 1, 1, 1, 2, 1, 0, 1, 1, 3}[i%10]
		size := int64(2_000 + m.rnd.IntN(12_000))
		if k >= 2 {
			size = int64(50_000 + m.rnd.IntN(3_000_000))
		} else if k == 0 {
			size = int64(20_000 + m.rnd.IntN(200_000))
		}
		from := m.rnd.Int64N(mixedPool)
		r := io.LimitReader(&ring{m.pools[k], int(from)}, size)
		if err := yield(fmt.Sprintf(names[k], i), kinds[k], r, size); err != nil {
			return err
		}
		sum += size
	}
	return nil
}

// ring reads a pool round and round.
type ring struct {
	b  []byte
	at int
}

func (r *ring) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.at:])
	r.at = (r.at + n) % len(r.b)
	return n, nil
}

// measured is what a writing process says about itself.
type measured struct {
	In, Out    int64
	Seconds    float64
	CPU, RSSMB float64
}

// writeMixed writes as many MiB as asked for ("bundle 1024") as a bundle, as a
// .tar.gz, or as a tar through zstd -3, and prints what it took.
func writeMixed(what string) error {
	var how string
	var mib int64
	if _, err := fmt.Sscan(what, &how, &mib); err != nil {
		return err
	}
	m := newMixed()
	m.total = mib << 20
	out := &countWriter{w: io.Discard}
	res := measured{}
	begin := time.Now()
	sum := func(_ string, _ Class, _ io.Reader, size int64) { res.In += size }
	var err error
	if how == "bundle" {
		err = writeMixedBundle(m, out, sum)
	} else {
		err = writeMixedTar(m, out, how, sum)
	}
	if err != nil {
		return err
	}
	res.Seconds, res.Out = time.Since(begin).Seconds(), out.n
	res.CPU, res.RSSMB = usage()
	return json.NewEncoder(os.Stdout).Encode(res)
}

func writeMixedBundle(m *mixed, out io.Writer, sum func(string, Class, io.Reader, int64)) error {
	w, err := NewWriter(out, writeOptions(os.TempDir()))
	if err != nil {
		return err
	}
	w.redact = asIs
	err = m.each(func(path string, class Class, r io.Reader, size int64) error {
		sum(path, class, r, size)
		_, err := w.Put(path, class, r)
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Close(Info{Producer: "test"}, nil)
	return err
}

func writeMixedTar(m *mixed, out io.Writer, how string, sum func(string, Class, io.Reader, int64)) error {
	var z io.WriteCloser
	done := func() error { return nil }
	if how == "gzip" {
		z, _ = gzip.NewWriterLevel(out, 6)
	} else {
		cmd := exec.Command("zstd", "-3", "-q", "-c", "-T1")
		cmd.Stdout = out
		var err error
		if z, err = cmd.StdinPipe(); err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		done = cmd.Wait
	}
	t := tar.NewWriter(z)
	err := m.each(func(path string, class Class, r io.Reader, size int64) error {
		sum(path, class, r, size)
		if err := t.WriteHeader(&tar.Header{Name: path, Size: size, Mode: 0o644}); err != nil {
			return err
		}
		_, err := io.Copy(t, r)
		return err
	})
	return errors.Join(err, t.Close(), z.Close(), done())
}

// BenchmarkWriteGigabyte writes a gigabyte of mixed data in a process of its
// own, beside gzip -6 and zstd -3 in theirs.
func BenchmarkWriteGigabyte(b *testing.B) {
	for _, how := range []string{"bundle", "gzip", "zstd"} {
		b.Run(how, func(b *testing.B) {
			if _, err := exec.LookPath("zstd"); how == "zstd" && err != nil {
				b.Skip(err)
			}
			var last measured
			for b.Loop() {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "CASEFILE_BENCH_WRITE="+how+" 1024")
				cmd.Stderr = os.Stderr
				text, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				if err := json.Unmarshal(text, &last); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(last.In)/last.Seconds/1e6, "MB/s")
			b.ReportMetric(float64(last.In)/last.CPU/1e6, "MB/cpu-s")
			b.ReportMetric(float64(last.Out)/1e6, "out-MB")
			b.ReportMetric(last.RSSMB, "RSS-MB")
		})
	}
}

// TestWriteBounds holds the memory of a writing process, which no busy machine
// can change, to its bound.
func TestWriteBounds(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("writes 256 MiB and reads its own peak of memory")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CASEFILE_BENCH_WRITE=bundle 256")
	text, err := cmd.CombinedOutput()
	var got measured
	if err != nil || json.Unmarshal(text, &got) != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Logf("%+v", got)
	if got.RSSMB > 128 || got.In < 256<<20 || got.Out > got.In/2 {
		t.Errorf("%+v", got)
	}
}

// TestMixed holds that the stream is the same every time.
func TestMixed(t *testing.T) {
	read := func() string {
		var b strings.Builder
		m := newMixed()
		m.total = 1 << 20
		err := m.each(func(path string, _ Class, r io.Reader, size int64) error {
			_, err := fmt.Fprint(&b, path, size)
			_, copyErr := io.Copy(&b, r)
			return errors.Join(err, copyErr)
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if d := cmp.Diff(read(), read()); d != "" {
		t.Error("differs")
	}
}
