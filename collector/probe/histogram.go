package probe

import (
	"slices"
	"time"
)

// Histogram is a distribution of times in microseconds.
type Histogram struct {
	Count   int      `json:"count"`
	P50     int64    `json:"p50Micros,omitempty"`
	P95     int64    `json:"p95Micros,omitempty"`
	P99     int64    `json:"p99Micros,omitempty"`
	Max     int64    `json:"maxMicros,omitempty"`
	Buckets []Bucket `json:"buckets,omitempty"` // those that are not empty
}

// Bucket counts the times up to a bound, and above the bound before it.
type Bucket struct {
	UpTo  int64 `json:"upToMicros,omitempty"` // 0: above all bounds
	Count int   `json:"count"`
}

// bounds are the same in every bundle, so that they can be added up.
func bounds() []int64 {
	return []int64{100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000}
}

const maxSamples = 10_000

// samples gathers times; beyond maxSamples they are only counted.
type samples struct {
	micros []int64
	more   int
}

func (s *samples) add(d time.Duration) {
	if len(s.micros) == maxSamples {
		s.more++
		return
	}
	s.micros = append(s.micros, max(d.Microseconds(), 0))
}

func (s *samples) histogram() Histogram {
	h := Histogram{Count: len(s.micros) + s.more}
	if len(s.micros) == 0 {
		return h
	}
	slices.Sort(s.micros)
	at := func(percent int) int64 { // the nearest rank
		return s.micros[(len(s.micros)*percent+99)/100-1]
	}
	h.P50, h.P95, h.P99, h.Max = at(50), at(95), at(99), s.micros[len(s.micros)-1]
	i := 0
	for _, bound := range append(bounds(), 0) {
		n := 0
		for i < len(s.micros) && (bound == 0 || s.micros[i] <= bound) {
			i++
			n++
		}
		if n > 0 {
			h.Buckets = append(h.Buckets, Bucket{bound, n})
		}
	}
	return h
}
