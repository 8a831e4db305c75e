package flow

import "slices"

// stream puts the first bytes of one direction of a connection together, in
// whatever order they come. What it cannot hold it lets go.
type stream struct {
	next  uint32 // sequence number after data
	data  []byte
	limit int
	wait  []chunk // what lies beyond a gap
	cut   bool    // bytes are missing for good
	held  int     // bytes that count against the room of all streams
}

type chunk struct {
	seq  uint32
	data []byte
}

const (
	maxWaiting = 16 // chunks beyond a gap
	chunkSize  = 64 // of one, beside its bytes
)

func newStream(seq uint32, limit int) *stream { return &stream{next: seq, limit: limit} }

// push takes a segment of so many bytes, of which payload was captured. room is
// what all streams together may still hold.
func (s *stream) push(seq uint32, payload []byte, length int, room *int) {
	s.place(seq, payload, length)
	for again := true; again && !s.cut; {
		again = false
		for i, c := range s.wait {
			if !after(c.seq, s.next) {
				s.wait = slices.Delete(s.wait, i, i+1)
				s.place(c.seq, c.data, len(c.data))
				again = true
				break
			}
		}
	}
	if s.settle(room); *room < 0 {
		s.cut = true
	}
}

// settle counts what is held.
func (s *stream) settle(room *int) {
	now := cap(s.data)
	for _, c := range s.wait {
		now += chunkSize + len(c.data)
	}
	*room += s.held - now
	s.held = now
}

// free gives the room back.
func (s *stream) free(room *int) {
	*room += s.held
	s.held, s.data, s.wait = 0, nil, nil
}

func (s *stream) place(seq uint32, payload []byte, length int) {
	if s.cut || !after(seq+uint32(length), s.next) {
		return
	}
	ahead := int32(seq - s.next)
	if ahead > 0 {
		if len(s.wait) < maxWaiting && int(ahead)+length <= s.limit && len(payload) == length {
			s.wait = append(s.wait, chunk{seq, slices.Clone(payload)})
		}
		return
	}
	skip := int(-ahead)
	if skip > len(payload) || len(s.data)+len(payload)-skip > s.limit {
		s.cut = true
		return
	}
	s.data = append(s.data, payload[skip:]...)
	s.next = seq + uint32(len(payload))
	s.cut = len(payload) < length
}

// broken says that no more will come.
func (s *stream) broken() bool { return s.cut }

// take removes what was used.
func (s *stream) take(n int, room *int) {
	if s.data = append(s.data[:0], s.data[n:]...); len(s.data) == 0 {
		s.data = nil
	}
	s.settle(room)
}
