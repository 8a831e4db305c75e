package redact

import (
	"bytes"
	"encoding/binary"
)

// memory remembers strings that a walker met lately, and what it found out
// about them: objects of an API repeat most of theirs.
type memory[T any] struct {
	slots [memorySlots]remembered[T]
}

type remembered[T any] struct {
	raw  []byte
	what T
	used bool
}

// What a walker remembers of names, at most.
const (
	maxKeys      = 4096
	maxKeyLength = 256
)

const (
	memorySlots  = 1024
	memoryLength = 96 // longer strings are not remembered
)

// of gives what is known of raw, nil if nothing.
func (m *memory[T]) of(raw []byte) *T {
	if len(raw) > memoryLength {
		return nil
	}
	h := slotOf(raw)
	for _, slot := range [...]uint64{h, h ^ 1} {
		if s := &m.slots[slot]; s.used && bytes.Equal(s.raw, raw) {
			return &s.what
		}
	}
	return nil
}

// keep remembers, in the place of the older of two other strings perhaps.
func (m *memory[T]) keep(raw []byte, what T) {
	if len(raw) <= memoryLength {
		h := slotOf(raw)
		m.slots[h], m.slots[h^1] = m.slots[h^1], m.slots[h]
		s := &m.slots[h]
		s.raw, s.what, s.used = append(s.raw[:0], raw...), what, true
	}
}

// slotOf spreads strings by their length and their first and last bytes.
func slotOf(raw []byte) uint64 {
	var first, last uint64
	if n := len(raw); n >= 8 {
		first, last = binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[n-8:])
	} else {
		for i := range n {
			first = first<<8 | uint64(raw[i])
		}
	}
	h := (first^uint64(len(raw))<<56)*0x9E3779B97F4A7C15 ^ last*0xC2B2AE3D27D4EB4F
	return (h ^ h>>29) * 0x9E3779B97F4A7C15 >> 54
}
