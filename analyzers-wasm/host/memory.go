package host

import (
	"errors"

	"github.com/tetratelabs/wazero/experimental"
)

// memory is the linear memory of a guest: reserved once, so that growing
// copies nothing and needs no second piece, and used again by the next run.
// A growth beyond what it may have ends the guest instead of failing quietly.
type memory struct {
	all    []byte // untouched pages cost nothing
	buf    []byte // what the running guest may have
	used   int    // of all, to be wiped before the next run
	denied uint64 // bytes that were asked for in vain
}

var errMemory = errors.New("out of memory")

func newMemory(mib int) *memory { return &memory{all: make([]byte, mib<<20)} }

// reset makes the memory ready for a guest that may have mib MiB of it.
func (m *memory) reset(mib int) {
	clear(m.all[:m.used])
	m.used, m.denied = 0, 0
	m.buf = m.all[:min(mib<<20, len(m.all))]
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.buf)) {
		m.denied = size
		panic(errMemory)
	}
	m.used = max(m.used, int(size))
	return m.buf[:size:size]
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {}
