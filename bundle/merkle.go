package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

type digest = [sha256.Size]byte

// merkleLeaf is SHA-256(0x00 ‖ salt ‖ path ‖ size ‖ sha256): the salt is 16
// bytes, the size eight bytes big endian, the hash 32 bytes, so that the path
// between them needs no length.
func merkleLeaf(salt [16]byte, path string, size int64, sum digest) digest {
	b := make([]byte, 0, 1+16+len(path)+8+32)
	b = append(b, 0x00)
	b = append(b, salt[:]...)
	b = append(b, path...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	return sha256.Sum256(append(b, sum[:]...))
}

// merkleRoot sorts the leaves, which their salts make an order that says
// nothing, and joins neighbours with SHA-256(0x01 ‖ left ‖ right); a last one
// without a neighbour goes up as it is. No leaves: SHA-256 of nothing.
func merkleRoot(leaves []digest) digest {
	if len(leaves) == 0 {
		return sha256.Sum256(nil)
	}
	level := slices.Clone(leaves)
	slices.SortFunc(level, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	for len(level) > 1 {
		next := level[:0]
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				next = append(next, level[i])
				continue
			}
			next = append(next, merkleJoin(level[i], level[i+1]))
		}
		level = next
	}
	return level[0]
}

// The type and the subject of the statement in tree.sigstore.json.
const (
	treePredicate = "https://casefile.dev/tree/v1"
	treeSubject   = "tree"
)

// treeClaim is its predicate. It names nothing of the bundle but a random id,
// so that a bundle from which all names were taken can still carry it.
type treeClaim struct {
	ID     string `json:"id"`
	Leaves int    `json:"leaves"`
}

// attestTree signs the root of the tree, with what a redacted bundle shows of
// the one that it comes from.
func attestTree(m *Manifest, s Signer) ([]byte, error) {
	st, err := NewStatement(treeSubject, digest(m.Tree.Root), treePredicate, treeClaim{m.ID, m.Tree.Leaves})
	if err != nil {
		return nil, err
	}
	return Attest(s, st)
}

// merkleJoin is SHA-256(0x01 ‖ left ‖ right).
func merkleJoin(left, right digest) digest {
	var node [1 + 2*sha256.Size]byte
	node[0] = 0x01
	copy(node[1:], left[:])
	copy(node[1+sha256.Size:], right[:])
	return sha256.Sum256(node[:])
}
