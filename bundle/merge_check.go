package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MergedReport says of a bundle that is part of a merged one what is still as
// it was sealed.
type MergedReport struct {
	Merged
	Top     string   // what it was called
	Files   int      // entries that it has here
	Proven  bool     // all of its entries are here as its signer sealed them
	Trusted bool     // the verifier knows that key
	Why     string   // why nothing is proven: nobody sealed it, …
	Cluster *Cluster // that it says it is of
}

// Merged checks what a merged bundle says about those that it was made of: that
// the entries that came from each are all that it had, bit by bit, and that its
// key signed them. It returns nil for a bundle that was not merged. A key that v
// (which may be nil) does not know is reported, not an error; what does not fit
// together wraps ErrDamaged or ErrSignature.
func (r *Reader) Merged(v Verifier) ([]MergedReport, error) {
	if len(r.manifest.Merged) == 0 {
		return nil, nil
	}
	reports, err := r.checkMerged(v)
	if err != nil {
		return nil, &DamageError{Part: "merged", Err: err}
	}
	return reports, nil
}

func (r *Reader) checkMerged(v Verifier) ([]MergedReport, error) {
	text, err := readSome(r, mergedSources)
	if err != nil {
		return nil, err
	}
	var list mergedList
	if err := json.Unmarshal(text, &list); err != nil || list.Schema != mergedSchema || len(list.Bundles) != len(r.manifest.Merged) {
		return nil, fmt.Errorf("%w: %s is not what the manifest says", ErrDamaged, mergedSources)
	}
	leaves, err := r.sortMerged(list.Bundles)
	if err != nil {
		return nil, err
	}
	reports := make([]MergedReport, len(list.Bundles))
	for i, m := range r.manifest.Merged {
		b := list.Bundles[i]
		if b.ID != m.ID {
			return nil, fmt.Errorf("%w: %s is of other bundles than the manifest", ErrDamaged, mergedSources)
		}
		root := merkleRoot(leaves[i])
		if len(leaves[i]) != m.Leaves || !bytes.Equal(root[:], m.Root) {
			return nil, fmt.Errorf("%w: what is here of bundle %s is not all that it had, as it was", ErrDamaged, m.ID)
		}
		reports[i] = MergedReport{Merged: m, Top: b.Top, Cluster: b.Cluster, Files: len(leaves[i])}
		if err := r.checkMergedSeal(&reports[i], v); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// sortMerged gives the leaves of each source, as they were there.
func (r *Reader) sortMerged(bundles []mergedBundle) ([][]digest, error) {
	leaves := make([][]digest, len(bundles))
	owner := map[string]int{}
	for i := range bundles {
		slices.SortStableFunc(bundles[i].Moved, func(a, b move) int { return len(b.To) - len(a.To) })
		for _, unit := range bundles[i].Units {
			owner[unit] = i
		}
	}
	for _, e := range r.entries {
		i, was, ok := originalPath(bundles, owner, e.path)
		if !ok {
			continue // the merge's own
		}
		sum, err := e.sum()
		salt, err2 := e.salt()
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		leaves[i] = append(leaves[i], merkleLeaf(salt, was, e.size, sum))
	}
	return leaves, nil
}

// originalPath says which source an entry is of, and how it was called there.
func originalPath(bundles []mergedBundle, owner map[string]int, path string) (int, string, bool) {
	for i, b := range bundles {
		if strings.HasPrefix(path, mergedDir+b.ID+"/"+sealedDir) {
			return 0, "", false
		}
		for _, mv := range b.Moved {
			if rest, ok := strings.CutPrefix(path, mv.To); ok {
				return i, mv.From + rest, true
			}
		}
	}
	if i, ok := owner[unitOf(path)]; ok {
		return i, path, true
	}
	return 0, "", false
}

// checkMergedSeal holds the signed root of a source against what is here.
func (r *Reader) checkMergedSeal(m *MergedReport, v Verifier) error {
	folder := mergedDir + m.ID + "/" + sealedDir
	manifest, err := readSome(r, folder+nameManifest)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(manifest); !bytes.Equal(sum[:], m.Merged.Manifest) {
		return fmt.Errorf("%w: the manifest of bundle %s is not the one that was merged", ErrDamaged, m.ID)
	}
	tree, err := readSome(r, folder+nameTree)
	switch {
	case err != nil:
		return err
	case m.Fingerprint == "":
		m.Why = "nobody sealed it"
		return nil
	case tree == nil:
		m.Why = "it was sealed without a signed tree, by an older casefile"
		return nil
	}
	origin := Origin{ID: m.ID, Fingerprint: m.Fingerprint, PublicKey: m.PublicKey, Root: m.Root, Leaves: m.Leaves}
	own, err := origin.key()
	if err != nil {
		return err
	}
	if err := origin.checkTree(tree, own); err != nil {
		return err
	}
	m.Proven = true
	if v == nil {
		return nil
	}
	switch _, _, err := CheckAttestation(tree, v); {
	case err == nil:
		m.Trusted = true
	case !errors.Is(err, ErrUnknownSigner):
		return err
	}
	return nil
}
