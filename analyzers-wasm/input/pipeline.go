package input

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// How a bundle is read: a few files at a time, in order of their paths. Each
// file's reader cuts it into blocks of whole lines; blocks are scanned side by
// side, and delivered one after the other, file by file, so that the rows come
// in the same order however many hands there are. A reader that is ahead waits
// at a handful of blocks, which bounds what is held.
const (
	maxHands   = 16
	aheadOf    = 2       // blocks of a file that wait
	largeBlock = 1 << 20 // there is but one at a time, of the file whose turn it is
)

// source is one file on its way to the inputs that read it.
type source struct {
	path   string
	outs   []*output
	group  *group
	read   func(s *source) error
	scan   func(b *block) // takes lines of the block on from b.next
	raw    []*rawTaker    // instead of scan: takes bytes as they stand
	blocks chan *block
	turn   chan struct{} // closed when the file's turn has come
	stop   atomic.Bool   // nobody takes more of it
	err    error         // valid once blocks is closed
	flaws  flaws
}

// pipeline reads sources.
type pipeline struct {
	ctx    context.Context
	hands  int
	slots  chan struct{} // of scans
	large  chan struct{} // holds one while there is a large block
	todo   []*source
	taken  atomic.Int64
	queued sync.WaitGroup
}

// flow reads all sources and delivers what is in them.
func (p *pipeline) flow(ctx context.Context, todo []*source, hands int) error {
	ctx, cancel := context.WithCancel(ctx)
	p.ctx, p.todo, p.hands = ctx, todo, hands
	p.slots, p.large = make(chan struct{}, hands), make(chan struct{}, 1)
	defer p.queued.Wait()
	defer cancel()
	for range min(hands, len(todo)) {
		p.queued.Go(p.reader)
	}
	for _, s := range todo {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.drain(s)
	}
	return ctx.Err()
}

// reader reads one source after the other.
func (p *pipeline) reader() {
	for {
		i := int(p.taken.Add(1)) - 1
		if i >= len(p.todo) || p.ctx.Err() != nil {
			return
		}
		s := p.todo[i]
		s.err = s.read(s)
		close(s.blocks)
	}
}

// drain delivers the blocks of a source, whose turn has come.
func (p *pipeline) drain(s *source) {
	s.begin()
	close(s.turn)
	for {
		select {
		case b, more := <-s.blocks:
			if !more {
				s.end()
				return
			}
			p.take(s, b)
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *pipeline) take(s *source, b *block) {
	<-b.ready
	if s.raw != nil {
		for _, t := range s.raw {
			t.take(s.path, b.lines)
		}
	} else {
		for {
			s.flaws.add(b.flaws)
			p.deliver(b)
			if b.next >= len(b.lines) {
				break
			}
			b.clear()
			b.ahead = false
			s.scan(b)
		}
	}
	s.stop.Store(s.full())
	if len(b.lines) > largeBlock {
		<-p.large
	}
	b.reset("", origin{}) // what is large must not be held for good
	s.group.free.Put(b)
}

// deliver hands a block to its inputs, to several modules at a time.
func (p *pipeline) deliver(b *block) {
	modules := b.g.modules
	if len(modules) == 1 || p.hands == 1 {
		for i := range b.g.outs {
			b.deliver(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(p.hands, len(modules)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(modules); i = next.Add(1) - 1 {
				for _, out := range modules[i] {
					b.deliver(out)
				}
			}
		})
	}
	wg.Wait()
}

// send scans a block in the background and passes it on; false when the
// reader may stop.
func (p *pipeline) send(s *source, b *block) bool {
	b.ready = make(chan struct{})
	if len(b.lines) > largeBlock {
		select {
		case p.large <- struct{}{}:
		case <-p.ctx.Done():
			return false
		}
	}
	select {
	case s.blocks <- b:
	case <-p.ctx.Done():
		return false
	}
	if s.raw != nil {
		close(b.ready)
		return !s.stop.Load()
	}
	b.ahead = true
	p.slots <- struct{}{}
	p.queued.Go(func() {
		s.scan(b)
		<-p.slots
		close(b.ready)
	})
	return !s.stop.Load()
}

// myTurn waits for the turn of a source; false when the reader may stop.
func (p *pipeline) myTurn(s *source) bool {
	select {
	case <-s.turn:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// begin tells the inputs that still take something that they read the file.
func (s *source) begin() {
	for _, o := range s.outs {
		if lim := o.p.lim.Files; len(o.index.Files) >= lim {
			o.fill(s.path, fmt.Sprintf("more than %d files; the rest was left out", lim))
		}
		if !o.full {
			o.begin(s.path)
		}
	}
	for _, t := range s.raw {
		t.begin(s.path)
	}
	s.stop.Store(s.full())
}

func (s *source) full() bool {
	if s.raw != nil {
		for _, t := range s.raw {
			if t.stream != nil && !t.cut {
				return false
			}
		}
		return true
	}
	for _, o := range s.outs {
		if !o.full {
			return false
		}
	}
	return true
}

// end writes down what was wrong with the file.
func (s *source) end() {
	for _, t := range s.raw {
		t.end(s.path)
	}
	for _, o := range s.outs {
		s.flaws.tell(o, s.path)
		if s.err != nil {
			o.lacks(s.path, "could not be read to its end: "+s.err.Error())
		}
	}
}

// groups remembers the group of inputs that read the same files.
type groups map[string]*group

func (g groups) of(outs []*output) *group {
	var key strings.Builder
	for _, o := range outs {
		fmt.Fprintf(&key, "%p ", o)
	}
	if g[key.String()] == nil {
		g[key.String()] = newGroup(outs)
	}
	return g[key.String()]
}
