package input

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input/flow"
	"github.com/casefile-io/casefile/sdk/abi"
)

// maxCaptureJSON bounds the summary beside a capture.
const maxCaptureJSON = 1 << 20

// captures makes the rows of flows and dns inputs. All captures are read,
// whoever asks for which: a packet is looked for at every place, so that no
// row depends on what other modules want.
func (r *run) captures() error {
	if len(r.flows)+len(r.dns) == 0 {
		return nil
	}
	s := flow.New(flow.Limits{})
	flows, dns := r.feed(r.flows, (*output).wants), r.feed(r.dns, (*output).wants)
	for _, path := range r.files {
		if !strings.HasPrefix(path, "captures/") || !strings.HasSuffix(path, ".pcapng") {
			continue
		}
		r.begin(r.flows, path)
		r.begin(r.dns, path)
		if err := r.capture(s, path); err != nil {
			flows.lacks(path, err.Error())
			dns.lacks(path, err.Error())
		}
	}
	lacks := s.Finish(
		func(f *flow.Row) { captured(flows, &f.Flow, f.Node, f.Netns, f.Path, f.Packet) },
		func(q *abi.DNS) { captured(dns, q, q.Node, q.Netns, q.Path, q.Packet) })
	for _, m := range lacks.Flows {
		flows.lacks(m.Source, m.Reason)
	}
	for _, m := range lacks.DNS {
		dns.lacks(m.Source, m.Reason)
	}
	flows.end()
	dns.end()
	return r.ctx.Err()
}

// captured makes one row.
func captured(f *feed, row any, node string, netns uint64, path string, packet int) {
	text, err := json.Marshal(row)
	if err != nil {
		f.lacks(path, "a row of it could not be made: "+err.Error())
		return
	}
	f.row(made{text, originNode(node, netns), abi.ReportedEvidence{Path: path, Packet: packet}})
}

// capture reads one file. What is wrong with it is in the result.
func (r *run) capture(s *flow.Scanner, path string) error {
	f, err := r.fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.Read(r.ctx, r.taken(path), f)
}

// taken says what is known of a capture: from its path,
// captures/<name>/<node>__<netns|device>.pcapng, and from the summary beside it.
func (r *run) taken(path string) flow.Capture {
	c := flow.Capture{Path: path}
	segs := strings.Split(path, "/")
	if len(segs) == 3 {
		c.Name = segs[1]
	}
	if node, where, ok := strings.Cut(strings.TrimSuffix(segs[len(segs)-1], ".pcapng"), "__"); ok {
		c.Node = node
		if c.Netns, _ = strconv.ParseUint(where, 10, 64); c.Netns == 0 && where != "host" {
			c.Device = where
		}
	}
	var sum struct {
		Started time.Time  `json:"started"`
		First   *time.Time `json:"firstPacket"`
		Millis  int64      `json:"millis"`
		Dropped int64      `json:"dropped"`
		Evicted int64      `json:"evicted"`
	}
	text, err := r.readAll(strings.TrimSuffix(path, ".pcapng")+".json", maxCaptureJSON)
	if err != nil || json.Unmarshal(text, &sum) != nil || sum.Started.IsZero() || sum.Millis < 0 {
		return c
	}
	c.Dropped = max(sum.Dropped, 0)
	c.Started, c.Ended = sum.Started.UnixNano(), sum.Started.UnixNano()+sum.Millis*1e6
	if sum.Evicted > 0 && sum.First != nil { // a ring: what came before was let go
		c.Started = sum.First.UnixNano()
	}
	return c
}
