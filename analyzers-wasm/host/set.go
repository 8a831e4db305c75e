package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Set is modules that are being made ready: each is compiled and described in
// a child of its own, before there is any evidence.
type Set struct {
	o     Options
	units []*unit
	cache *cache
	err   error // why no module can run
	ready chan struct{}
	stop  context.CancelFunc
}

// Load starts to make the modules ready, in the background, and returns at
// once; call it before opening a bundle. It takes from o how to run modules.
func Load(ctx context.Context, modules []Module, o Options) *Set {
	o = o.withDefaults()
	s := &Set{o: o, ready: make(chan struct{})}
	ctx, s.stop = context.WithCancel(ctx)
	s.cache, s.err = openCache(o.CacheDir, o.TempDir, o.Exec[:min(1, len(o.Exec))]...)
	for _, m := range modules {
		s.units = append(s.units, s.unit(m))
	}
	go func() {
		defer close(s.ready)
		each(s.units, o.Jobs, func(i int, u *unit) { u.load(ctx, i < maxIdle) })
		refuseDuplicates(s.units)
	}()
	return s
}

// Close ends the children that no run has taken, and frees what the set holds.
func (s *Set) Close() {
	s.stop()
	<-s.ready
	for _, u := range s.units {
		u.idle.close()
		u.idle = nil
	}
	if s.cache != nil {
		s.cache.close()
	}
}

// each calls f for all that have not ended, n at a time.
func each[T interface{ ended() bool }](all []T, n int, f func(int, T)) {
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, t := range all {
		if t.ended() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i, t)
		})
	}
	wg.Wait()
}

// unit is one module of a set.
type unit struct {
	set    *Set
	m      Module
	o      Options // with the module's own bounds
	key    string  // in the cache
	decl   abi.Declaration
	result abi.ModuleResult // of loading; its status is empty as long as all is well
	idle   *worker          // compiled, for the first run
}

func (s *Set) unit(m Module) *unit {
	u := &unit{set: s, m: m, o: s.o}
	name := input.Clean(m.Name)
	if len(name) > maxNameBytes {
		name = name[:maxNameBytes]
	}
	u.result = abi.ModuleResult{Name: strings.ToValidUTF8(name, ""), Digest: digest(m.Wasm), Signer: m.Signer}
	if m.MemoryMiB > 0 {
		u.o.MemoryMiB = min(u.o.MemoryMiB, m.MemoryMiB)
	}
	switch {
	case m.Refuse != "":
		u.end(ending{Status: abi.ModuleRefused, Reason: m.Refuse})
	case len(m.Wasm) > MaxModule:
		u.end(ending{Status: abi.ModuleRefused, Reason: fmt.Sprintf("the module has %d bytes, more than %d", len(m.Wasm), MaxModule)})
	case s.err != nil:
		u.end(ending{Status: abi.ModuleUnavailable, Reason: s.err.Error()})
	default:
		u.key = s.cache.key(u.result.Digest)
	}
	return u
}

func (u *unit) ended() bool { return u.result.Status != "" }

func (u *unit) end(e ending) {
	if !u.ended() {
		u.result.Status = e.Status
		u.result.Reason = cleanReason(e.Reason)
	}
	u.idle.close()
	u.idle = nil
}

func cleanReason(s string) string { return input.Clean(strings.ToValidUTF8(s, "\uFFFD")) }

// disown refuses a module whose rules are another's, so that each rule has
// one result.
func (u *unit) disown(reason string) {
	u.decl.Rules = nil
	u.end(ending{Status: abi.ModuleRefused, Reason: reason})
}

// load compiles the module and has it describe itself, or knows both from an
// earlier time. With keep, it has a child that waits for the first run.
func (u *unit) load(ctx context.Context, keep bool) {
	begun := time.Now()
	defer func() { u.result.Millis = time.Since(begun).Milliseconds() }()
	log := newLog()
	e, known := u.remember(keep)
	if !known {
		e = u.learn(ctx, log)
	}
	if e.Status != abi.ModuleOK {
		u.result.Log = cleanReason(string(log.kept))
		u.end(e)
		return
	}
	if !keep {
		u.idle.close()
		u.idle = nil
	}
}

// remember takes the declaration from an earlier time, if no child is wanted.
func (u *unit) remember(keep bool) (e ending, known bool) {
	if keep {
		return e, false
	}
	m, ok := u.set.cache.load(u.key, "")
	if !ok {
		return e, false
	}
	d, err := parseDeclaration(m.Declaration)
	if err != nil {
		return e, false
	}
	return u.admit(d), true
}

func (u *unit) learn(ctx context.Context, log *capture) ending {
	w, e := u.start(ctx, nil, log)
	if e.Status != abi.ModuleOK {
		return e
	}
	u.idle = w
	u.result.Unguarded = w.lacks
	return u.describe(ctx, w, log)
}

// describe learns the declaration, and keeps what a cold start has made.
func (u *unit) describe(ctx context.Context, w *worker, log *capture) ending {
	printed := w.known.Declaration
	if !w.warm() {
		out := &capture{keep: maxDescribe, limit: maxDescribe}
		e := w.phase(ctx, command{Verb: abi.VerbDescribe, MemoryMiB: u.o.MemoryMiB, Fuel: describeFuel, Clock: describeClock, Seed: seed("", u.result.Digest)}, u.o.DescribeTimeout, out, log)
		if e.Status != abi.ModuleOK {
			return e
		}
		printed = out.kept
	}
	d, err := parseDeclaration(printed)
	if err != nil {
		return ending{Status: abi.ModuleRefused, Reason: "describe: " + err.Error()}
	}
	if !w.warm() {
		_ = u.set.cache.store(u.key, w.scratch, printed) // without, it is compiled again
	}
	w.clean()
	return u.admit(d)
}

// admit takes what the module declares, unless the caller does not want it.
func (u *unit) admit(d abi.Declaration) ending {
	if u.m.Admit != nil {
		if err := u.m.Admit(d); err != nil {
			return ending{Status: abi.ModuleRefused, Reason: err.Error()}
		}
	}
	u.decl = d
	u.result.Name, u.result.Version = d.Name, d.Version
	return ending{Status: abi.ModuleOK}
}

// worker is a child that has its module compiled.
type worker struct {
	*session
	spool   *spool
	scratch string   // until clean
	known   compiled // from an earlier time, if it is warm
}

func (w *worker) warm() bool { return len(w.known.Declaration) > 0 }

// clean removes what only compiling needed.
func (w *worker) clean() {
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch) // what is left is swept later
		w.scratch = ""
	}
}

func (w *worker) close() {
	if w == nil {
		return
	}
	if w.session != nil {
		w.session.close()
	}
	w.clean()
	w.spool.close()
}

// start brings up a child that has the module compiled, over a spool that is
// the worker's from then on (nil is a fresh one). What is known from an
// earlier time and does not serve is forgotten, and made anew.
func (u *unit) start(ctx context.Context, s *spool, log *capture) (*worker, ending) {
	if s == nil {
		var err error
		if s, err = newSpool(u.o.TempDir); err != nil {
			return nil, ending{Status: abi.ModuleUnavailable, Reason: err.Error()}
		}
	}
	for {
		w := &worker{spool: s}
		e := u.prepare(ctx, w, log)
		if e.Status == abi.ModuleOK {
			return w, e
		}
		warm := w.warm()
		if w.session != nil {
			w.session.close()
		}
		w.clean()
		if !warm || ctx.Err() != nil || e.Status == abi.ModuleUnavailable {
			s.close()
			return nil, e
		}
		u.set.cache.drop(u.key)
	}
}

func (u *unit) prepare(ctx context.Context, w *worker, log *capture) ending {
	var err error
	if w.session, err = startSession(u.o, w.spool.view); err == nil {
		err = u.fill(w) // while the child starts
	}
	if err == nil {
		err = w.handshake(ctx, setup{Warm: w.warm(), Scratch: w.scratch, MemoryMiB: u.o.MemoryMiB, CPUSeconds: cpuSeconds(u.o)})
	}
	if err != nil {
		return ending{Status: abi.ModuleUnavailable, Reason: err.Error()}
	}
	e := w.phase(ctx, command{Verb: verbPrepare}, u.o.DescribeTimeout, &capture{}, log)
	if e.Status == abi.ModuleOK && w.warm() && !w.known.took(w.scratch) {
		return ending{Status: abi.ModuleFailed, Reason: "its compiled code does not serve"}
	}
	return e
}

// fill makes the scratch folder: with what is known of the module, or with
// the module as it came.
func (u *unit) fill(w *worker) (err error) {
	if w.scratch, err = u.set.cache.scratch(); err != nil {
		return err
	}
	known, ok := u.set.cache.load(u.key, w.scratch)
	if ok {
		w.known = known
		return nil
	}
	if err := os.WriteFile(filepath.Join(w.scratch, moduleFile), u.m.Wasm, 0o600); err != nil {
		return fmt.Errorf("make the sandbox's files: %w", err)
	}
	return nil
}

// cpuSeconds is well above what the wall clock allows; it bounds a child that
// has outlived its parent.
func cpuSeconds(o Options) uint64 {
	return 2*uint64((2*o.DescribeTimeout+o.AnalyzeTimeout)/time.Second) + 10
}

// refuseDuplicates ends every module that declares a rule or a fact, or bears
// the name, of one before it, or that declares a rule in a topic that another
// one owns.
func refuseDuplicates(units []*unit) {
	taken, owners := map[string]string{}, map[string]string{}
	for _, u := range units {
		for _, r := range u.decl.Rules {
			if u.m.OwnsTopics {
				owners[topic(r.ID)] = u.decl.Name
			}
		}
	}
	for _, u := range units {
		if u.ended() {
			continue
		}
		if why := duplicate(u, taken, owners); why != "" {
			u.disown(why)
			continue
		}
		taken["module "+u.decl.Name] = u.decl.Name
		for _, r := range u.decl.Rules {
			taken["rule "+r.ID] = u.decl.Name
		}
		for _, f := range u.decl.Facts {
			taken["fact "+f.Fact] = u.decl.Name
		}
	}
}

func duplicate(u *unit, taken, owners map[string]string) string {
	if taken["module "+u.decl.Name] != "" {
		return fmt.Sprintf("a module named %s is there already", u.decl.Name)
	}
	for _, r := range u.decl.Rules {
		if owner := taken["rule "+r.ID]; owner != "" {
			return fmt.Sprintf("rule %s is declared by module %s already", r.ID, owner)
		}
		if owner, has := owners[topic(r.ID)]; has && !u.m.OwnsTopics {
			return fmt.Sprintf("rule %s: the topic %s is that of module %s; rules of others have topics of their own", r.ID, topic(r.ID), owner)
		}
	}
	for _, f := range u.decl.Facts {
		if owner := taken["fact "+f.Fact]; owner != "" {
			return fmt.Sprintf("fact %s is declared by module %s already", f.Fact, owner)
		}
	}
	return ""
}

func topic(rule string) string {
	t, _, _ := strings.Cut(rule, "/")
	return t
}

// digest names a module by its bytes.
func digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// seed gives a module random numbers that are its own and the bundle's.
func seed(bundleID, digest string) []byte {
	sum := sha256.Sum256([]byte(bundleID + "\x00" + digest))
	return sum[:]
}
