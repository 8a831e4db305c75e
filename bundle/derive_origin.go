package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// openOrigin finds the first signed bundle: the source, or the one that the
// source itself was made from.
func (d *deriver) openOrigin() error {
	r, m := d.r, d.r.manifest
	_, leaves, err := r.decoded()
	if err != nil {
		return &DamageError{Part: "index", Err: err}
	}
	if root := merkleRoot(leaves); !bytes.Equal(root[:], m.Tree.Root) || len(leaves) != m.Tree.Leaves {
		return damaged("index", "its Merkle root is not the one in the manifest")
	}
	if m.Origin != nil {
		d.report = &OriginReport{Origin: *m.Origin, others: map[string]bool{}}
		if d.handed, err = r.originMembers(); err == nil {
			d.before, err = r.checkOrigin(d.report, d.handed, nil)
		}
		if err != nil {
			return &DamageError{Part: "origin", Err: err}
		}
		origin := *m.Origin
		d.origin = &origin
		return nil
	}
	if i := r.search(originDir); i < len(r.nodes) && foldCommon(r.nodes[i].path, originDir) == len(originDir) {
		return fmt.Errorf("%w: %q stands where a redacted bundle tells its origin", ErrPath, r.nodes[i].path)
	}
	switch {
	case m.Signer == nil:
		d.result.NoOrigin = "the source is not signed"
		return nil
	case m.TreeProof == nil:
		d.result.NoOrigin = "the source was sealed without a signed tree, by an older casefile"
		return nil
	}
	d.before = newProof(leaves)
	d.origin = &Origin{ID: m.ID, Fingerprint: m.Signer.Fingerprint, PublicKey: m.Signer.PublicKey, Root: m.Tree.Root, Leaves: m.Tree.Leaves}
	own, err := d.origin.key()
	if err == nil {
		err = d.origin.checkTree(r.tail.proofs[nameTree], own)
	}
	if err != nil {
		return &DamageError{Part: "tree proof", Err: err}
	}
	return nil
}

// account sorts the entries of the new bundle into those that are as the first
// one had them, altered and added, and gives the leaves of the first.
func (d *deriver) account() (kept map[digest]bool, plan bool, err error) {
	altered, added := map[string]bool{}, map[string]bool{}
	if d.report != nil {
		for _, path := range d.before.altered {
			altered[path] = true
		}
		for _, path := range d.before.added {
			added[path] = true
		}
	}
	made := d.result.Added
	d.result.Added, kept = nil, map[digest]bool{}
	for _, f := range d.w.files {
		leaf := merkleLeaf(f.salt, f.path, f.size, f.sum)
		same := false
		if e, ok := d.r.entryAt(f.path); ok && !altered[f.path] && !added[f.path] {
			was, err := e.leaf()
			if err != nil {
				return nil, false, err
			}
			same = was == leaf
		}
		switch {
		case same:
			kept[leaf] = true
			plan = plan || f.path == planPath
		case added[d.was[f.path]] || slices.Contains(made, f.path):
			d.result.Added = append(d.result.Added, f.path)
		default:
			d.result.Altered = append(d.result.Altered, f.path)
		}
	}
	d.result.Kept = len(kept)
	slices.Sort(d.result.Altered)
	slices.Sort(d.result.Added)
	return kept, plan, nil
}

// writeOrigin stores what shows where the kept entries come from.
func (d *deriver) writeOrigin() error {
	kept, plan, err := d.account()
	if err != nil || d.origin == nil {
		return err
	}
	p, err := d.before.prune(func(leaf digest) bool { return kept[leaf] })
	if err != nil {
		return err
	}
	if root, err := p.root(); err != nil || !bytes.Equal(root[:], d.origin.Root) {
		return fmt.Errorf("%w: the proof does not come to the root of the tree", ErrDamaged)
	}
	p.altered, p.added = d.result.Altered, d.result.Added
	d.origin.Kept, d.origin.Altered, d.origin.Added = len(kept), len(p.altered), len(p.added)
	members := d.first()
	members[originProof] = p.encode()
	if d.o.HideNames || d.hidden.inJSON(members[originManifest], true) {
		delete(members, originManifest)
		delete(members, originSeal)
	}
	if members[originManifest] == nil || !plan || d.named(members[originProvenance]) {
		delete(members, originProvenance)
	}
	for _, path := range []string{originTree, originProof, originManifest, originSeal, originProvenance} {
		if members[path] == nil {
			continue
		}
		if _, err := d.w.store(path, ClassMeta, bytes.NewReader(members[path])); err != nil {
			return err
		}
	}
	return nil
}

// first gives the members of the first bundle that this one may hand on.
func (d *deriver) first() map[string][]byte {
	if d.report != nil {
		return d.handed
	}
	t := d.r.tail
	return map[string][]byte{originTree: t.proofs[nameTree], originManifest: t.manifest, originSeal: t.seal, originProvenance: d.r.Provenance()}
}

// named says whether an attestation names something that is gone.
func (d *deriver) named(b []byte) bool {
	var a attestation
	return json.Unmarshal(b, &a) != nil || d.hidden.inJSON(a.Envelope.Payload, true)
}
