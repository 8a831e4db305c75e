package bundle

import (
	"fmt"
	"strings"
)

// names holds the paths of a bundle while it is written, so that none comes
// twice, also not in another case or normal form, as file and as folder, or as
// whole and as parts.
type names map[string]name

type name struct {
	path string
	dir  bool
	next int // the part that may come next; 0: not in parts, -1: all came
}

// reserved says whether the format itself owns the first element of p.
func reserved(p string) bool {
	switch lower(p[0]) {
	case 'a', 'i', 'm', 'p', 't':
	default:
		return false
	}
	first, _, _ := strings.Cut(p, "/")
	switch strings.ToLower(first) {
	case nameIndex, nameProvenance, nameTree, nameManifest, nameSeal, nameDigest, nameApprovals:
		return true
	}
	return false
}

// claim takes p, which passed checkPath, or says why it is not to be had.
func (n names) claim(p string) error {
	if reserved(p) {
		return fmt.Errorf("%w: %q belongs to the format", ErrPath, p)
	}
	target, next := p, 0
	piece, isPart := partOf(p)
	if isPart {
		if target = piece.base; checkPath(target) != nil {
			return fmt.Errorf("%w: %q is part of nothing", ErrPath, p)
		}
		if _, again := partOf(target); again {
			return fmt.Errorf("%w: %q is a part of a part", ErrPath, p)
		}
		if next = piece.n + 1; piece.end {
			next = -1
		}
	}
	key := foldKey(target)
	have, taken := n[key]
	switch {
	case isPart && piece.n != max(1, have.next):
		return fmt.Errorf("%w: %q is out of turn", ErrPath, p)
	case taken && have.path != target:
		return fmt.Errorf("%w: %q differs from %q only in case or normal form", ErrPath, target, have.path)
	case taken && !(isPart && have.next > 0):
		return fmt.Errorf("%w: %q is there already", ErrPath, target)
	}
	if err := n.claimFolders(target); err != nil {
		return err
	}
	n[key] = name{path: target, next: next}
	return nil
}

// claimFolders takes the folders above p, from the deepest up to one that is
// known, whose own folders are then known too.
func (n names) claimFolders(p string) error {
	var missing []string
	for at := strings.LastIndexByte(p, '/'); at > 0; at = strings.LastIndexByte(p[:at], '/') {
		have, ok := n[foldKey(p[:at])]
		if !ok {
			missing = append(missing, p[:at])
			continue
		}
		if !have.dir {
			return fmt.Errorf("%w: %q is a file", ErrPath, have.path)
		}
		if have.path != p[:at] {
			return fmt.Errorf("%w: %q differs from the folder %q only in case or normal form", ErrPath, p[:at], have.path)
		}
		break
	}
	for _, dir := range missing {
		n[foldKey(dir)] = name{path: dir, dir: true}
	}
	return nil
}

// claimAll takes all paths or none.
func (n names) claimAll(paths []string) error {
	undo := make(map[string]name, len(paths))
	for i, p := range paths {
		key := nameKey(p)
		if _, ok := undo[key]; !ok {
			undo[key] = n[key]
		}
		if err := n.claim(p); err != nil {
			for key, was := range undo {
				if was == (name{}) {
					delete(n, key)
				} else {
					n[key] = was
				}
			}
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

// nameKey is where the claim of p is kept; the parts of an entry share one.
func nameKey(p string) string {
	if piece, ok := partOf(p); ok {
		return foldKey(piece.base)
	}
	return foldKey(p)
}

// release gives back a path whose entry came to nothing; was is what stood
// there before. Its folders stay.
func (n names) release(p string, was name) {
	if was == (name{}) {
		delete(n, nameKey(p))
	} else {
		n[nameKey(p)] = was
	}
}
