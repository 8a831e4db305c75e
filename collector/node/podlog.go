package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

const maxLogLine = 256 << 10 // longer lines are cut

// copyPodLog copies the log of a container as the runtime wrote it (CRI, or
// Docker's JSON) in the form of cluster/logs: time, blank, line. Lines before
// since are left out, and pieces of a long line are joined. It returns the
// number of lines.
func copyPodLog(w io.Writer, r io.Reader, since time.Time) (lines int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	out := bufio.NewWriterSize(w, 32<<10)
	var piece podLine
	var line []byte
	joining := false
	for {
		raw, err := readLine(in, maxLogLine)
		if len(raw) > 0 && parsePodLine(raw, &piece) && !piece.time.Before(since) {
			if !joining {
				line = append(append(line[:0], piece.stamp...), ' ')
			}
			line = append(line, piece.text[:min(len(piece.text), max(maxLogLine-len(line), 0))]...)
			joining = piece.partial
		}
		ended := errors.Is(err, io.EOF)
		if len(line) > 0 && (!joining || ended) {
			lines++
			if _, err := out.Write(append(line, '\n')); err != nil {
				return lines, err
			}
			line = line[:0]
		}
		if ended {
			return lines, out.Flush()
		}
		if err != nil {
			return lines, err
		}
	}
}

// readLine reads a line without its end, at most limit bytes of it.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	whole := append([]byte(nil), line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.ReadSlice('\n')
		whole = append(whole, line[:min(len(line), max(limit-len(whole), 0))]...)
	}
	return bytes.TrimSuffix(whole, []byte{'\n'}), err
}

// podLine is one line of a log, or a piece of it.
type podLine struct {
	stamp   []byte
	time    time.Time
	text    []byte
	partial bool
}

// parsePodLine reads "2026-11-28T16:00:00.1Z stdout F text" or
// {"log":"text\n","stream":"stdout","time":"2026-…"}.
func parsePodLine(raw []byte, p *podLine) bool {
	if raw[0] == '{' {
		return parseDockerLine(raw, p)
	}
	stamp, rest, ok := bytes.Cut(raw, []byte{' '})
	if !ok {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return false
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	if s := string(stream); !ok || s != "stdout" && s != "stderr" {
		return false
	}
	tags, text, _ := bytes.Cut(rest, []byte{' '})
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	*p = podLine{stamp: stamp, time: at, text: text, partial: string(tag) == "P"}
	return true
}

func parseDockerLine(raw []byte, p *podLine) bool {
	var row struct {
		Log  string    `json:"log"`
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(raw, &row) != nil || row.Time.IsZero() {
		return false
	}
	text, whole := bytes.CutSuffix([]byte(row.Log), []byte{'\n'})
	*p = podLine{stamp: []byte(row.Time.UTC().Format(time.RFC3339Nano)), time: row.Time, text: text, partial: !whole}
	return true
}
