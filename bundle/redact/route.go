package redact

import (
	"io"
	"path"
	"strings"
)

// open decides by path how src is redacted.
func (r *Redactor) open(name string, src io.Reader, c counts) step {
	ext := path.Ext(name)
	switch {
	case name == SummaryPath:
		return &ownSummary{src: src}
	case kernelSecret(name):
		return &hidden{src: src, counts: c}
	case ext == ".pcapng" && strings.HasPrefix(name, "captures/"):
		return newPackets(src, r.scanner, r.payload, c, r.packetMapper())
	case ext == ".ndjson", ext == ".jsonl":
		return newLines(src, r.scanner, hintOf(name), c)
	case ext == ".json":
		return newDocument(src, r.scanner, hintOf(name), c)
	}
	return newText(src, r.scanner, !knownText(name, ext), c)
}

// knownText says whether a path holds text by its nature, in whatever bytes:
// logs may hold stray ones, and the kernel prints names as they are.
func knownText(name, ext string) bool {
	switch ext {
	case ".log", ".txt":
		return true
	}
	return strings.HasPrefix(name, "nodes/") &&
		(strings.Contains(name, "/proc/") || strings.Contains(name, "/sys/"))
}

// hintOf gives the kind that a path below cluster/resources or cluster/tables
// says its objects are of, in case they do not say so themselves.
func hintOf(name string) string {
	switch {
	case !strings.HasPrefix(name, "cluster/"):
		return ""
	case strings.Contains(name, "/core/v1/secrets/"):
		return kindSecret
	case strings.Contains(name, "/core/v1/configmaps/"):
		return kindConfigMap
	}
	return ""
}

// kernelSecret says whether a file of /proc/sys is a key of the kernel.
func kernelSecret(name string) bool {
	base := path.Base(name)
	return strings.Contains(name, "proc/sys/") && (base == "tcp_fastopen_key" || base == "stable_secret")
}

// hidden masks an entry as a whole.
type hidden struct {
	src    io.Reader
	counts counts
}

func (h *hidden) next(out []byte) ([]byte, error) {
	n, err := io.Copy(io.Discard, io.LimitReader(h.src, maxHidden))
	switch {
	case err != nil:
		return out, err
	case n == maxHidden:
		return out, failf("a kernel setting of %d bytes or more", maxHidden)
	case n == 0:
		return out, io.EOF
	}
	h.counts[ruleSysctl]++
	return append(appendMask(out, ruleSysctl), '\n'), io.EOF
}

const maxHidden = 64 << 10
