package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// The members of a redacted bundle that tell where it comes from.
const (
	originDir        = "origin/"
	originTree       = originDir + nameTree
	originProof      = originDir + "proof.txt"
	originManifest   = originDir + nameManifest
	originSeal       = originDir + nameSeal
	originProvenance = originDir + nameProvenance
)

// OriginReport says what of a redacted bundle is as another one sealed it.
type OriginReport struct {
	Origin
	Trusted    bool      // the verifier knows the key of the first bundle
	Manifest   *Manifest // of the first bundle; nil when its names were left out
	Provenance []byte    // of the first bundle, for [CheckAttestation]; may be nil

	others map[string]bool // entries that are not in the first bundle, or were otherwise
}

// Original says whether the entry at path is bit by bit what the first bundle
// held there.
func (o *OriginReport) Original(path string) bool {
	return !o.others[path] && !strings.HasPrefix(path, originDir)
}

// Origin checks what a redacted bundle says about the signed one that it was
// made from: the signature over that bundle's tree, the proof that the kept
// entries belong to the tree, and the copy of that bundle's manifest. It
// returns nil for a bundle that was not redacted. A first signer that v (which
// may be nil) does not know is reported, not an error; all else that does not
// fit together wraps ErrDamaged or ErrSignature.
func (r *Reader) Origin(v Verifier) (*OriginReport, error) {
	o := r.manifest.Origin
	if o == nil {
		return nil, nil
	}
	report := &OriginReport{Origin: *o, others: map[string]bool{}}
	members, err := r.originMembers()
	if err == nil {
		_, err = r.checkOrigin(report, members, v)
	}
	if err != nil {
		return nil, &DamageError{Part: "origin", Err: err}
	}
	return report, nil
}

// checkOrigin holds the members below origin/ against the manifest and the
// entries, and gives the proof.
func (r *Reader) checkOrigin(o *OriginReport, members map[string][]byte, v Verifier) (*proof, error) {
	own, err := o.key()
	if err != nil {
		return nil, err
	}
	if err := o.checkTree(members[originTree], own); err != nil {
		return nil, err
	}
	if v != nil {
		switch _, _, err := CheckAttestation(members[originTree], v); {
		case err == nil:
			o.Trusted = true
		case !errors.Is(err, ErrUnknownSigner):
			return nil, err
		}
	}
	if members[originManifest] != nil {
		if err := o.checkManifest(members, own); err != nil {
			return nil, err
		}
	}
	return r.checkProof(o, members[originProof])
}

// originMembers reads the members below origin/, and refuses any other.
func (r *Reader) originMembers() (map[string][]byte, error) {
	limits := map[string]int64{originTree: maxProof, originProof: maxProofText, originManifest: MaxManifest, originSeal: maxSeal, originProvenance: maxProof}
	members := map[string][]byte{}
	for i := r.search(originDir); i < len(r.nodes) && foldCommon(r.nodes[i].path, originDir) == len(originDir); i++ {
		n := r.nodes[i]
		if limit, ok := limits[n.path]; !ok || n.size > limit || n.parts[0].part {
			return nil, fmt.Errorf("%w: %q does not belong there", ErrDamaged, n.path)
		}
		b, err := r.ReadFile(n.path)
		if err != nil {
			return nil, err
		}
		members[n.path] = b
	}
	has := func(path string) bool { return members[path] != nil }
	if !has(originTree) || !has(originProof) || has(originManifest) != has(originSeal) || has(originProvenance) && !has(originManifest) {
		return nil, fmt.Errorf("%w: a member below %s is missing", ErrDamaged, originDir)
	}
	return members, nil
}

// key is the key that the origin names, which proves integrity only.
func (o *Origin) key() (Verifier, error) {
	if fingerprint(o.PublicKey) != o.Fingerprint {
		return nil, fmt.Errorf("%w: the key is not the one of the fingerprint", ErrSignature)
	}
	key, err := x509.ParsePKIXPublicKey(o.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: its key: %w", ErrSignature, err)
	}
	v, err := NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("%w: its key: %w", ErrSignature, err)
	}
	return v, nil
}

// checkTree holds the signed root of the tree against the origin.
func (o *Origin) checkTree(b []byte, own Verifier) error {
	st, _, err := CheckAttestation(b, own)
	if err != nil {
		return asSignature(err)
	}
	var claim treeClaim
	err = json.Unmarshal(st.Predicate, &claim)
	if err != nil || st.PredicateType != treePredicate || len(st.Subject) != 1 || st.Subject[0].Name != treeSubject || len(o.Root) != sha256.Size ||
		!st.About([32]byte(o.Root)) || claim != (treeClaim{o.ID, o.Leaves}) {
		return fmt.Errorf("%w: it is signed for another tree than the manifest says", ErrSignature)
	}
	return nil
}

// checkManifest holds the copy of the first manifest against the origin.
func (o *OriginReport) checkManifest(members map[string][]byte, own Verifier) error {
	m, err := checkSeal(members[originSeal], members[originManifest], own)
	if err != nil {
		return asSignature(err)
	}
	tree := sha256.Sum256(members[originTree])
	if m.ID != o.ID || m.Signer.Fingerprint != o.Fingerprint || !bytes.Equal(m.Tree.Root, o.Root) || m.Tree.Leaves != o.Leaves ||
		m.TreeProof == nil || !bytes.Equal(m.TreeProof.SHA256, tree[:]) {
		return fmt.Errorf("%w: its manifest is that of another bundle", ErrSignature)
	}
	o.Manifest = m
	if b := members[originProvenance]; b != nil {
		sum := sha256.Sum256(b)
		if m.Provenance == nil || !bytes.Equal(m.Provenance.SHA256, sum[:]) {
			return fmt.Errorf("%w: its provenance is that of another bundle", ErrSignature)
		}
		o.Provenance = b
	}
	return nil
}

// checkProof holds the entries against the proof, and the counts against the
// manifest.
func (r *Reader) checkProof(o *OriginReport, text []byte) (*proof, error) {
	p, err := parseProof(text)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]string{p.altered, p.added} {
		for _, path := range list {
			if _, ok := r.entryAt(path); !ok || o.others[path] || strings.HasPrefix(path, originDir) {
				return nil, fmt.Errorf("%w: the proof names %q, which is no such entry", ErrDamaged, path)
			}
			o.others[path] = true
		}
	}
	var kept []digest
	for _, e := range r.entries {
		if o.others[e.path] || strings.HasPrefix(e.path, originDir) {
			continue
		}
		leaf, err := e.leaf()
		if err != nil {
			return nil, err
		}
		kept = append(kept, leaf)
	}
	if p.leaves != o.Leaves || len(kept) != o.Kept || len(p.altered) != o.Altered || len(p.added) != o.Added {
		return nil, fmt.Errorf("%w: the proof counts %d of %d entries, %d altered and %d added, and the manifest %d of %d, %d and %d", ErrDamaged,
			len(kept), p.leaves, len(p.altered), len(p.added), o.Kept, o.Leaves, o.Altered, o.Added)
	}
	if err := p.fill(kept); err != nil {
		return nil, err
	}
	root, err := p.root()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(root[:], o.Root) {
		return nil, fmt.Errorf("%w: an entry that is said to be as it was is not, or the proof is of another bundle", ErrDamaged)
	}
	for path := range o.others { // an entry in parts is as it was when all parts are
		if piece, ok := partOf(path); ok {
			o.others[piece.base] = true
		}
	}
	return p, nil
}

// entryAt finds an entry, which may be a part, by its own path.
func (r *Reader) entryAt(path string) (entry, bool) {
	i := sort.Search(len(r.entries), func(i int) bool { return foldCompare(r.entries[i].path, path) >= 0 })
	if i == len(r.entries) || r.entries[i].path != path {
		return entry{}, false
	}
	return r.entries[i], true
}

// leaf is the leaf of the tree that stands for the entry.
func (e entry) leaf() (digest, error) {
	sum, err := e.sum()
	if err != nil {
		return digest{}, err
	}
	salt, err := e.salt()
	return merkleLeaf(salt, e.path, e.size, sum), err
}
