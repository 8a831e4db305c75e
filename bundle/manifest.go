package bundle

import (
	"fmt"
	"time"
)

// Manifest is the signed heart of a bundle: what it is and a commitment to
// every byte of it. Readers ignore keys that they do not know.
type Manifest struct {
	Format       int               `json:"format"`  // 1
	ID           string            `json:"id"`      // random UUID
	Top          string            `json:"top"`     // the folder that all members lie in
	Created      time.Time         `json:"created"` // UTC, whole seconds; the time of every member
	Producer     string            `json:"producer,omitempty"`
	Cluster      *Cluster          `json:"cluster,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Note         string            `json:"note,omitempty"`
	Incident     *Window           `json:"incident,omitempty"`
	Redaction    *Redaction        `json:"redaction,omitempty"`
	Completeness *Completeness     `json:"completeness,omitempty"`
	Recovered    bool              `json:"recovered,omitempty"` // sealed anew after a crash
	Signer       *SignerInfo       `json:"signer,omitempty"`    // absent when unsigned
	Index        IndexCommitment   `json:"index"`
	Provenance   *Proof            `json:"provenance,omitempty"`
	Tree         Tree              `json:"tree"`
	TreeProof    *Proof            `json:"treeProof,omitempty"` // tree.sigstore.json; absent when unsigned
	Origin       *Origin           `json:"origin,omitempty"`    // the bundle that this one was made from by leaving out
	Merged       []Merged          `json:"merged,omitempty"`    // those that it was made from by joining them
}

// Origin names the signed bundle that a redacted one comes from, by the names
// that give nothing away.
type Origin struct {
	ID          string `json:"id"`          // of that bundle
	Fingerprint string `json:"fingerprint"` // of the key that sealed it
	PublicKey   []byte `json:"publicKey"`   // PKIX DER
	Root        []byte `json:"root"`        // of its tree
	Leaves      int    `json:"leaves"`
	Kept        int    `json:"kept"`    // entries that are as they were
	Altered     int    `json:"altered"` // entries that the redaction changed
	Added       int    `json:"added"`   // entries that it made
}

// Info is what the maker of a bundle says about it.
type Info struct {
	Producer     string // name and version of the program
	Cluster      *Cluster
	Labels       map[string]string
	Note         string
	Incident     *Window
	Redaction    *Redaction
	Completeness *Completeness
	Recovered    bool
	Origin       *Origin
	Merged       []Merged
	// Provenance, when set, makes the Sigstore bundle of an in-toto statement
	// whose subject is index.jsonl with the given SHA-256 (of its text, as tar
	// extracts it).
	Provenance func(index [32]byte) ([]byte, error)
	// Timestamp, when set, is asked for an RFC 3161 response about the
	// signature of the seal; nil is none.
	Timestamp func(signature []byte) ([]byte, error)
}

// Cluster says where the data comes from.
type Cluster struct {
	Name    string `json:"name,omitempty"`
	UID     string `json:"uid,omitempty"` // of the namespace kube-system
	Version string `json:"version,omitempty"`
}

// Window is a span of time.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Redaction says how entries were redacted.
type Redaction struct {
	Policy  string `json:"policy"`
	Payload string `json:"payload,omitempty"` // of packets
}

// Completeness counts the results of the collection by status.
type Completeness struct {
	Complete bool           `json:"complete"`
	Results  map[string]int `json:"results,omitempty"`
}

// SignerInfo identifies the key of the seal.
type SignerInfo struct {
	Fingerprint string `json:"fingerprint"` // SHA256:…
	PublicKey   []byte `json:"publicKey"`   // PKIX DER; proves integrity only, never who signed
}

// IndexCommitment fixes the index.
type IndexCommitment struct {
	Offset int64  `json:"offset"` // in the file, of its first frame
	Length int64  `json:"length"` // of its frames, compressed
	Frames int    `json:"frames"`
	Size   int64  `json:"size"` // of the text
	SHA256 []byte `json:"sha256"`
	Chunks int    `json:"chunks"`
	Files  int    `json:"files"`
}

// Proof fixes provenance.sigstore.json or tree.sigstore.json.
type Proof struct {
	SHA256 []byte `json:"sha256"` // of its content
}

// Tree fixes every entry on its own, so that entries can be dropped later.
type Tree struct {
	Root   []byte `json:"root"`
	Leaves int    `json:"leaves"`
}

// headroom is what the commitments may take of a manifest.
const headroom = 4 << 10

// manifest fills in what info says; it fails before anything of it is written.
func (i Info) manifest() (*Manifest, error) {
	m := &Manifest{Format: Format, Producer: i.Producer, Cluster: i.Cluster, Labels: i.Labels, Note: i.Note, Incident: i.Incident,
		Redaction: i.Redaction, Completeness: i.Completeness, Recovered: i.Recovered, Origin: i.Origin, Merged: i.Merged}
	b, err := canonical(m)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if len(b) > MaxManifest-headroom {
		return nil, fmt.Errorf("%w: note, labels and the rest of the manifest take %d bytes, more than %d", ErrTooLarge, len(b), MaxManifest-headroom)
	}
	return m, nil
}

// parseManifest reads manifest.json and holds it against the limits.
func parseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("%w: manifest of %d bytes", ErrTooLarge, len(b))
	}
	var m Manifest
	if err := decodeCanonical(b, &m); err != nil {
		return nil, err
	}
	ix := m.Index
	switch {
	case m.Format != Format:
		return nil, fmt.Errorf("%w: format %d, this casefile reads format %d; use a newer one", ErrNotBundle, m.Format, Format)
	case checkTop(m.Top) != nil:
		return nil, fmt.Errorf("%w: top folder %q", ErrDamaged, m.Top)
	case m.Created.Unix() < 0 || m.Created.Unix() > maxTime:
		return nil, fmt.Errorf("%w: created %s", ErrDamaged, m.Created)
	case ix.Size < 0 || ix.Size > MaxIndex || ix.Chunks < 0 || ix.Chunks > maxFrames || ix.Files < 0 || ix.Files > MaxFiles:
		return nil, fmt.Errorf("%w: index of %d bytes, %d chunks, %d files", ErrTooLarge, ix.Size, ix.Chunks, ix.Files)
	case ix.Offset < 0 || ix.Length < 0 || ix.Frames < 1 || ix.Frames > maxFrames:
		return nil, fmt.Errorf("%w: index commitment", ErrDamaged)
	}
	return &m, nil
}

const maxTime = 1<<33 - 1 // eleven octal digits

func checkTop(top string) error {
	if len(top) > MaxTop || !acceptable(top) {
		return fmt.Errorf("%w: top folder %q: use a plain name of at most %d bytes, see EscapePath", ErrPath, top, MaxTop)
	}
	return nil
}
