package bundle

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	mergedDir     = "collection/merged/"
	mergedSources = mergedDir + "sources.json"
	sealedDir     = "sealed/"
	nodesDir      = "nodes/"
	clusterDir    = "cluster/"
)

// move says what a prefix of the paths of a source became.
type move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// mergePart is a source and where its entries go. A unit is a folder that
// belongs to one source as a whole: nodes/x/, captures/x/, cluster/.
type mergePart struct {
	MergeSource
	units  map[string]bool // that keep their names
	moves  []move          // the longest first
	filled map[string]bool // nodes of it that another source fills
}

// folder is where what a source says of itself lies.
func (p *mergePart) folder() string { return mergedDir + p.Reader.manifest.ID + "/" }

// merged names the source in the manifest.
func (p *mergePart) merged() Merged {
	m := p.Reader.manifest
	text, _ := p.Reader.Seal()
	sum := sha256.Sum256(text)
	x := Merged{ID: m.ID, Manifest: sum[:], Root: m.Tree.Root, Leaves: m.Tree.Leaves}
	if m.Signer != nil {
		x.Fingerprint, x.PublicKey = m.Signer.Fingerprint, m.Signer.PublicKey
	}
	return x
}

// to is where an entry of the source goes.
func (p *mergePart) to(path string) string { return moved(p.moves, path) }

func moved(moves []move, path string) string {
	for _, m := range moves {
		if rest, ok := strings.CutPrefix(path, m.From); ok {
			return m.To + rest
		}
	}
	return path
}

func (p *mergePart) move(from, to string) {
	p.moves = append(p.moves, move{from, to})
	slices.SortStableFunc(p.moves, func(a, b move) int { return len(b.From) - len(a.From) })
	delete(p.units, from)
}

// unitOf gives the unit that a path belongs to.
func unitOf(path string) string {
	first, rest, deep := strings.Cut(path, "/")
	if !deep {
		return path
	}
	if second, _, ok := strings.Cut(rest, "/"); ok && (first+"/" == nodesDir || first+"/" == capturesDir) {
		return first + "/" + second + "/"
	}
	return first + "/"
}

// owned is a unit of a source that has a place in the merged bundle.
type owned struct {
	part     *mergePart
	from, to string // what it is called in the source, and there
}

// place says where everything goes, or why that cannot be.
func (m *merger) place(sources []MergeSource) error {
	if len(sources) < 2 || len(sources) > MaxMerged {
		return fmt.Errorf("%w: two to %d are merged, not %d", ErrMerge, MaxMerged, len(sources))
	}
	owners := map[string]owned{} // by unit in the merged bundle, case aside
	ids := map[string]string{}
	for _, s := range sources {
		id := s.Reader.manifest.ID
		if other, twice := ids[id]; twice {
			return fmt.Errorf("%w: %s and %s are the same bundle %s", ErrMerge, other, s.Name, id)
		}
		if !plainID(id) {
			return fmt.Errorf("%w: %s has the id %q", ErrMerge, s.Name, id)
		}
		ids[id] = s.Name
		p := &mergePart{MergeSource: s, units: map[string]bool{}, filled: map[string]bool{}}
		m.parts = append(m.parts, p)
		for _, n := range s.Reader.nodes {
			p.units[unitOf(n.path)] = true
		}
		p.own()
		if err := p.rename(); err != nil {
			return err
		}
		for _, unit := range slices.Sorted(maps.Keys(p.units)) {
			if err := m.settle(owners, p, unit, unit); err != nil {
				return err
			}
		}
		for _, mv := range slices.Clone(p.moves) { // renamed nodes have to find their place, too
			if strings.HasPrefix(mv.To, nodesDir) {
				if err := m.settle(owners, p, mv.From, mv.To); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range m.parts {
		for _, mv := range p.moves {
			if !strings.HasPrefix(mv.To, p.folder()) || strings.HasPrefix(mv.From, nodesDir) {
				m.result.Moved = append(m.result.Moved, MovedEntries{p.Name, mv.From, mv.To})
			}
		}
	}
	slices.Sort(m.result.Filled)
	return nil
}

// own moves away what a source says of itself.
func (p *mergePart) own() {
	for _, unit := range []string{"collection/", "findings/", originDir} {
		if !p.units[unit] {
			continue
		}
		to := p.folder()
		if unit != "collection/" {
			to += unit
		}
		p.move(unit, to)
	}
}

// rename gives nodes the names that were asked for, also in the names of
// captures.
func (p *mergePart) rename() error {
	for old, name := range p.Rename {
		from, to := nodesDir+old+"/", nodesDir+name+"/"
		if !p.units[from] {
			return fmt.Errorf("%w: %s has no node %s to be called %s", ErrMerge, p.Name, old, name)
		}
		if err := checkPath(nodesDir + name); err != nil || strings.Contains(name, "/") {
			return fmt.Errorf("%w: %q is no name for a node", ErrMerge, name)
		}
		p.move(from, to)
		for unit := range p.units {
			if strings.HasPrefix(unit, capturesDir) {
				p.moves = append(p.moves, move{unit + old + "__", unit + name + "__"})
			}
		}
	}
	slices.SortStableFunc(p.moves, func(a, b move) int { return len(b.From) - len(a.From) })
	return nil
}

// settle finds a place for a unit of p, which is called from in p, and would
// like to be called to.
func (m *merger) settle(owners map[string]owned, p *mergePart, from, to string) error {
	other := owners[foldKey(to)]
	switch {
	case other.part == nil:
		owners[foldKey(to)] = owned{p, from, to}
		return nil
	case strings.HasPrefix(to, nodesDir):
		return m.sameNode(owners, other, owned{p, from, to})
	case to == clusterDir:
		return fmt.Errorf("%w: both %s and %s hold the objects of a cluster; a bundle is of one cluster, and of machines collected with --host", ErrMerge, other.part.Name, p.Name)
	case strings.HasPrefix(to, capturesDir), to == "probes/":
		p.free(owners, from, to)
		return nil
	}
	return fmt.Errorf("%w: both %s and %s hold %s", ErrMerge, other.part.Name, p.Name, to)
}

// free finds another name for a folder of which there can be several.
func (p *mergePart) free(owners map[string]owned, from, to string) {
	for i := 2; ; i++ {
		name := strings.TrimSuffix(to, "/") + "-" + strconv.Itoa(i) + "/"
		if owners[foldKey(name)].part != nil || p.units[name] {
			continue
		}
		owners[foldKey(name)] = owned{p, from, name}
		for j, mv := range p.moves { // of a node that was renamed in it
			if strings.HasPrefix(mv.From, from) && strings.HasPrefix(mv.To, to) {
				p.moves[j].To = name + strings.TrimPrefix(mv.To, to)
			}
		}
		p.move(from, name)
		return
	}
}

// sameNode decides whose data of a node counts: that of the one collection that
// came to its end, which is where node.json is written.
func (m *merger) sameNode(owners map[string]owned, a, b owned) error {
	whole := func(o owned) bool {
		_, ok := o.part.Reader.find(o.from + "node.json")
		return ok
	}
	node := strings.TrimSuffix(strings.TrimPrefix(b.to, nodesDir), "/")
	switch hasA, hasB := whole(a), whole(b); {
	case hasA == hasB || a.to != b.to:
		return fmt.Errorf("%w: both %s and %s hold data of node %s; if these are two machines, say --rename %[4]s=NEW for the one of %[3]s, else leave one out",
			ErrMerge, a.part.Name, b.part.Name, node)
	case hasA:
		b.part.setAside(b.from, node)
	default:
		a.part.setAside(a.from, node)
		owners[foldKey(b.to)] = b
	}
	m.result.Filled = append(m.result.Filled, node)
	return nil
}

// setAside keeps what there is of a node apart from what counts.
func (p *mergePart) setAside(from, node string) {
	p.moves = slices.DeleteFunc(p.moves, func(mv move) bool { return mv.From == from })
	p.move(from, p.folder()+nodesDir+node+"/")
	p.filled[node] = true
}

// plainID says whether an id can be a folder.
func plainID(id string) bool {
	_, err := checkElement(id)
	return err == nil && len(id) <= 64 && acceptable(id)
}
