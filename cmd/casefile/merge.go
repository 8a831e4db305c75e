package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
)

const mergeHelp = `Makes one bundle of a cluster's and those that "casefile collect --host" made on machines
beside it: a node that the API server cannot reach, a load balancer, a database. Every file
is taken over bit by bit, and verify shows who sealed it first.

   casefile bundle merge cluster.tar.zst node7.tar.zst db1.tar.zst -o all.tar.zst
   casefile bundle merge cluster.tar.zst vm.tar.zst --rename vm.example.net=node7

A node that the first bundle could not collect is filled from another one that did, when
both call it by the same name; --rename OLD=NEW calls it so. Two whole collections of one
node do not merge. Strictly redacted bundles merge when their pseudonyms hang on the same
key (--redact-key of collect).

--key, --trust and --unverified say whom to believe when the FILEs are read. The new bundle
is sealed by your own identity, by --sign-key FILE, or by nobody with --no-sign.`

func mergeCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write the new bundle to `FILE`, - is stdout (default: NAME.merged.tar.zst)"},
		&cli.StringSliceFlag{Name: "rename", Usage: "call a node `OLD=NEW`, in the last FILE that has it; may be repeated"},
		&cli.StringFlag{Name: "sign-key", Usage: "seal with the private key in `FILE` (default: your own identity)"},
		&cli.BoolFlag{Name: "no-sign", Usage: "do not seal the new bundle"},
		encryptFlag(),
	}
	return &cli.Command{Name: "merge", Usage: "join bundles of a cluster and of machines beside it", ArgsUsage: "FILE FILE…", Description: mergeHelp,
		Flags: append(flags, readFlags()...), Action: mergeBundles}
}

// mergePlan is collection/plan.json of a merged bundle.
type mergePlan struct {
	Command string            `json:"command"`
	Version string            `json:"version"`
	Bundles []mergedMaterial  `json:"bundles"`
	Rename  map[string]string `json:"rename,omitempty"`
}

// mergedMaterial is a bundle that another one was merged of.
type mergedMaterial struct {
	ID          string `json:"id"`
	Top         string `json:"top"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the key that sealed it
	Manifest    string `json:"manifestSHA256"`
}

func mergeBundles(c *cli.Context) error {
	switch {
	case c.NArg() < 2:
		return usagef("bundle merge needs two bundles or more: casefile bundle merge FILE FILE… -o OUT")
	case c.Bool("no-sign") && c.IsSet("sign-key"):
		return usagef("give --sign-key or --no-sign, not both")
	case c.IsSet("o") && c.String("o") == "":
		return usagef("-o is empty: name the new file")
	}
	began := time.Now()
	sources, err := openSources(c)
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	if err != nil {
		return err
	}
	if err := sameKeys(c, sources); err != nil {
		return err
	}
	o, list, err := mergeOptions(c, sources, began)
	if err != nil {
		return err
	}
	encrypted := false
	for _, s := range sources {
		encrypted = encrypted || s.encrypted
	}
	out, err := (&job{output: mergedName(c, encrypted)}).create()
	if err != nil {
		return err
	}
	defer out.abandon()
	e, err := encryptTo(c, out, encrypted)
	if err != nil {
		return err
	}
	res, err := bundle.Merge(c.Context, e, list, o)
	if err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	if err := out.keep(); err != nil {
		return err
	}
	tellMerged(res, sources)
	if out.name != "-" {
		fmt.Println(out.name)
	}
	if done := res.Manifest.Completeness; done != nil && !done.Complete {
		return incompletef("merged, but something that was asked for is lacking in them: see collection/results.ndjson")
	}
	return nil
}

// openSources opens and verifies every bundle. Those that were opened come
// with the error.
func openSources(c *cli.Context) ([]*opened, error) {
	var all []*opened
	for _, name := range c.Args().Slice() {
		b, err := openBundle(c, name)
		if err != nil {
			return all, err
		}
		all = append(all, b)
		if !b.verified && b.signer() != "" {
			return all, usagef("%s: %s sealed it: check that seal with --key or --trust; --unverified is only for bundles that nobody sealed", name, b.signer())
		}
		status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
		err = b.Verify(c.Context, func(done, total int64) {
			status.progress(collector.Progress{Phase: "verify", Bytes: done, Note: "of " + byteSize(total)})
		})
		status.done()
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// sameKeys refuses bundles whose pseudonyms hang on different keys: the same
// name would have two tokens, and one address could be that of two machines.
func sameKeys(c *cli.Context, sources []*opened) error {
	strict, key := "", ""
	for i, s := range sources {
		if r := s.Manifest().Redaction; r == nil || r.Policy != string(redact.PolicyStrict) {
			continue
		}
		name := c.Args().Get(i)
		b, err := s.ReadFile(redact.SummaryPath)
		var sum redact.Summary
		if err == nil {
			err = json.Unmarshal(b, &sum)
		}
		if err != nil {
			return fmt.Errorf("%s: it is redacted by strict, and does not say with which key: %w", name, err)
		}
		switch {
		case sum.Key == "" && len(sources) > 1:
			return fmt.Errorf("%w: %s is redacted by strict, by a casefile that did not note with which key; its pseudonyms could clash with those of the others", bundle.ErrMerge, name)
		case strict != "" && key != sum.Key:
			return fmt.Errorf("%w: %s and %s are redacted by strict with different keys, so that their pseudonyms clash; collect them with the same --redact-key", bundle.ErrMerge, strict, name)
		}
		strict, key = name, sum.Key
	}
	return nil
}

func mergeOptions(c *cli.Context, sources []*opened, began time.Time) (o bundle.MergeOptions, list []bundle.MergeSource, err error) {
	plan := mergePlan{Command: "bundle merge", Version: version, Rename: map[string]string{}}
	for i, b := range sources {
		m := b.Manifest()
		list = append(list, bundle.MergeSource{Reader: b.Reader, Name: c.Args().Get(i), Rename: map[string]string{}})
		text, _ := b.Seal()
		plan.Bundles = append(plan.Bundles, mergedMaterial{m.ID, m.Top, b.signer(), fmt.Sprintf("%x", sha256.Sum256(text))})
	}
	for _, text := range c.StringSlice("rename") {
		from, to, ok := strings.Cut(text, "=")
		if !ok || from == "" || to == "" {
			return o, nil, usagef("--rename %q: want OLD=NEW, the names of nodes", text)
		}
		i := len(sources) - 1
		for i >= 0 && !hasNode(sources[i], from) {
			i--
		}
		if i < 0 {
			return o, nil, usagef("--rename %s: none of the bundles has a node %s", text, from)
		}
		list[i].Rename[from], plan.Rename[from] = to, to
	}
	if o.Plan, err = json.Marshal(plan); err != nil {
		return o, nil, err
	}
	o.Plan = append(o.Plan, '\n')
	about, created := bundle.MergedAbout(list)
	if about == nil {
		about = &bundle.Cluster{Name: "merged"}
	}
	o.Top = topFolder(about.Name, created.UTC())
	o.Info.Producer = "casefile " + version
	if c.Bool("no-sign") {
		return o, list, nil
	}
	if o.Signer, err = resealer(c); err != nil {
		return o, nil, err
	}
	o.Info.Provenance = mergeProvenance(plan, o.Signer, began)
	return o, list, nil
}

func hasNode(b *opened, name string) bool {
	info, err := b.Stat("nodes/" + name)
	return err == nil && info.IsDir()
}

// mergeProvenance says what a merged bundle was made of, and by what.
func mergeProvenance(plan mergePlan, s bundle.Signer, began time.Time) func([32]byte) ([]byte, error) {
	return func(index [32]byte) ([]byte, error) {
		p := provenance{Producer: "casefile " + version, Binary: binary{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH},
			Started: began.UTC().Truncate(time.Second), Ended: time.Now().UTC().Truncate(time.Second), Merged: plan.Bundles}
		if err := p.carried(); err != nil {
			return nil, err
		}
		var err error
		if p.Binary.SHA256, err = ownDigest(); err != nil {
			fmt.Fprintf(os.Stderr, "the provenance cannot name this program by its digest: %v\n", err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		st, err := bundle.NewStatement("index.jsonl", index, bundle.ProvenancePredicate, json.RawMessage(bytes.TrimSpace(b)))
		if err != nil {
			return nil, err
		}
		return bundle.Attest(s, st)
	}
}

func mergedName(c *cli.Context, encrypted bool) string {
	if c.IsSet("o") {
		return c.String("o")
	}
	name := strings.TrimSuffix(strings.TrimSuffix(c.Args().First(), ".age"), ".tar.zst") + ".merged.tar.zst"
	if encrypted || c.IsSet("encrypt-to") {
		name += ".age"
	}
	return name
}

// tellMerged says on stderr what became of the bundles.
func tellMerged(r *bundle.MergeResult, sources []*opened) {
	say := func(format string, a ...any) { fmt.Fprintln(os.Stderr, flat(fmt.Sprintf(format, a...))) }
	say("%d bundles, %d files", len(sources), r.Manifest.Index.Files)
	for _, node := range r.Filled {
		say("node %s, which one bundle could not collect to the end, is taken from another", node)
	}
	for i, m := range r.Moved {
		if i == 20 {
			say("and %d more are called otherwise: see collection/merged/sources.json", len(r.Moved)-i)
			break
		}
		say("%s: %s is %s here", m.Source, m.From, m.To)
	}
	policies := map[string]bool{}
	for _, s := range sources {
		if red := s.Manifest().Redaction; red != nil {
			policies[red.Policy] = true
		}
	}
	if len(policies) > 1 {
		say("they were redacted by different policies: what is merged is as open as the weakest, and names in one may tell what pseudonyms in another stand for")
	}
	if r.Manifest.Signer != nil {
		say("sealed by %s", r.Manifest.Signer.Fingerprint)
	} else {
		say("not signed (--no-sign): readers need --unverified")
	}
}

// mergedVerdict is what verify says of a bundle that is part of a merged one.
type mergedVerdict struct {
	ID     string `json:"id"`
	Top    string `json:"top"`
	By     *party `json:"by,omitempty"`
	Files  int    `json:"files"`
	Proven bool   `json:"proven"` // they are all that it had, as its signer sealed them
	Why    string `json:"why,omitempty"`
}

// mergedOf checks the parts of a merged bundle; nil for any other.
func mergedOf(b *opened, keys bundle.Keyring, who func(string, bool) party) ([]mergedVerdict, error) {
	reports, err := b.Merged(keys)
	if err != nil {
		return nil, err
	}
	var list []mergedVerdict
	for _, r := range reports {
		v := mergedVerdict{ID: r.ID, Top: r.Top, Files: r.Files, Proven: r.Proven, Why: r.Why}
		if r.Fingerprint != "" {
			p := who(r.Fingerprint, r.Trusted)
			v.By = &p
		}
		list = append(list, v)
	}
	return list, nil
}

// String says it in one line.
func (v mergedVerdict) String() string {
	if v.Proven {
		return fmt.Sprintf("%s: all of its %d files are as %s sealed them", v.Top, v.Files, v.By)
	}
	return fmt.Sprintf("%s: %d files; nothing shows that they are as they were: %s", v.Top, v.Files, v.Why)
}
