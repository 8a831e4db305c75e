package review

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxScanned is how much of a line is looked at as JSON; tokens are found in
// all of it.
const maxScanned = 8 << 20

// pathNames takes the names that stand in a path.
func (s *scan) pathNames(path string) {
	parts := strings.Split(path, "/")
	switch {
	case parts[0] == "nodes" && len(parts) > 2:
		s.name("nodes", parts[1])
	case len(parts) == 6 && parts[0] == "cluster" && parts[1] == "resources":
		if ns := strings.TrimSuffix(parts[5], ".ndjson"); ns != "_cluster" {
			s.name("namespaces", ns)
		}
	case len(parts) > 3 && parts[0] == "cluster" && parts[1] == "logs":
		s.name("namespaces", parts[2])
	}
}

// lines reads a file of text, line by line.
func (s *scan) lines(path string, c *Class, src io.Reader) error {
	r := bufio.NewReaderSize(src, 64<<10)
	config := strings.HasPrefix(path, "cluster/resources/core/v1/configmaps/")
	results := path == "collection/results.ndjson"
	var line []byte
	for n := 1; ; n++ {
		var err error
		if line, err = readLine(r, line[:0]); len(line) > 0 {
			s.tokens.line(path, n, line)
			c.picks.offer(path, n, line)
			if config {
				s.configMap(line)
			}
			if results {
				s.result(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine appends the next line, its end and what goes beyond maxScanned left
// out.
func readLine(r *bufio.Reader, line []byte) ([]byte, error) {
	for {
		piece, err := r.ReadSlice('\n')
		if room := maxScanned - len(line); len(piece) > room {
			piece = piece[:room]
		}
		line = append(line, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// configMap takes the keys of one ConfigMap.
func (s *scan) configMap(line []byte) {
	var m struct {
		Metadata struct{ Namespace, Name string }
		Data     map[string]string
		Binary   map[string]string `json:"binaryData"`
	}
	if json.Unmarshal(line, &m) != nil || len(s.Config) == maxKeys {
		return
	}
	c := ConfigMap{Name: m.Metadata.Namespace + "/" + m.Metadata.Name}
	for _, values := range []map[string]string{m.Data, m.Binary} {
		for k, v := range values {
			if strings.HasPrefix(v, "[REDACTED:") {
				c.Masked = append(c.Masked, k)
			} else {
				c.Kept = append(c.Kept, k)
			}
		}
	}
	slices.Sort(c.Kept)
	slices.Sort(c.Masked)
	s.Config = append(s.Config, c)
}

// result takes one line of collection/results.ndjson.
func (s *scan) result(line []byte) {
	var m Missing
	if json.Unmarshal(line, &m) != nil || m.Status == "ok" || m.Status == "" || m.Status == "skipped" {
		return
	}
	s.Lacking++
	if m.Path != "" && strings.Contains(m.Reason, "cannot be redacted") {
		s.class(m.Path).Refused++
	}
	if len(s.Missing) < maxMissing {
		s.Missing = append(s.Missing, m)
	}
}

// picker keeps the lines with the lowest hashes of their place: the same ones
// in every run, and nobody who writes a log can tell which.
type picker struct {
	kept []picked
}

type picked struct {
	hash uint64
	Sample
}

func (p *picker) offer(path string, n int, line []byte) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path + ":" + strconv.Itoa(n))) // never fails
	_, _ = h.Write(line[:min(len(line), sampleWidth)])
	sum := h.Sum64()
	if len(p.kept) == maxSamples && sum >= p.kept[maxSamples-1].hash {
		return
	}
	text := string(line[:min(len(line), sampleWidth)])
	if len(line) > sampleWidth {
		text += "…"
	}
	p.kept = append(p.kept, picked{sum, Sample{path, n, strings.ToValidUTF8(text, "�")}})
	slices.SortFunc(p.kept, func(a, b picked) int {
		if a.hash < b.hash {
			return -1
		}
		return 1
	})
	p.kept = p.kept[:min(len(p.kept), maxSamples)]
}

func (p *picker) samples() []Sample {
	list := make([]Sample, 0, len(p.kept))
	for _, k := range p.kept {
		list = append(list, k.Sample)
	}
	return list
}
