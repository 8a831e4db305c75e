package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
)

// strictDerive gets ready to make a strictly redacted bundle of b, and says in o
// how, if that is the policy that c names. The names come from the objects in b; without those of nodes and
// namespaces it refuses, as collect does.
func strictDerive(c *cli.Context, b *opened, o *bundle.DeriveOptions) (*strictness, error) {
	if c.String("policy") != string(redact.PolicyStrict) {
		if c.IsSet("redact-key") {
			return nil, usagef("--redact-key is for --policy strict")
		}
		return nil, nil //nolint:nilnil // standard needs nothing
	}
	m := b.Manifest()
	if m.Redaction != nil && m.Redaction.Policy == string(redact.PolicyStrict) {
		return nil, usagef("the bundle is redacted by strict already: once more would only make pseudonyms of pseudonyms")
	}
	s, err := strictFrom(c, redact.PolicyStrict, func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) })
	if err != nil {
		return nil, err
	}
	names, err := namesIn(b)
	if err != nil {
		return nil, err
	}
	payload := redact.PayloadDefault // strict redaction cannot look into more
	if m.Redaction != nil && m.Redaction.Payload == redact.PayloadNone {
		payload = redact.PayloadNone
	}
	own, err := ownRules(c, b)
	if err != nil {
		return nil, err
	}
	own.Payload = payload
	options, err := s.options(own, names)
	if err != nil {
		return nil, err
	}
	if o.Redactor, err = redact.New(redact.PolicyStrict, options); err != nil {
		return nil, err
	}
	info := bundle.Info{Producer: m.Producer, Labels: m.Labels, Note: m.Note, Incident: m.Incident, Recovered: m.Recovered,
		Redaction: &bundle.Redaction{Policy: string(redact.PolicyStrict), Payload: payload}}
	id := bundle.Cluster{}
	if m.Cluster != nil {
		if id, err = maskCluster(o.Redactor, *m.Cluster); err != nil {
			return nil, err
		}
		info.Cluster = &id
	}
	if err := maskInfo(o.Redactor, &info); err != nil {
		return nil, err
	}
	o.Info, o.Top, o.HideNames = &info, topFolder(id.Name, m.Created.UTC()), true
	return s, nil
}

const (
	resourcesDir   = "cluster/resources/"
	maxObjectLine  = 64 << 20
	namesNeededFor = "strict redaction must know what nodes and namespaces are called"
)

// namesIn reads what strict redaction has to know out of a bundle.
func namesIn(b *opened) ([]cluster.Name, error) {
	set := cluster.NewNameSet()
	var own []cluster.Name
	fromCluster := false
	for _, f := range b.Files() {
		if node, ok := strings.CutPrefix(f.Path, "nodes/"); ok {
			node, _, _ = strings.Cut(node, "/")
			set.Add(cluster.NameNode, node)
		}
		fromCluster = fromCluster || strings.HasPrefix(f.Path, "cluster/")
		if strings.HasPrefix(f.Path, resourcesDir) {
			if err := namesInFile(b, f.Path, set); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
		}
	}
	if fromCluster {
		if err := checkListed(b, "nodes", "namespaces"); err != nil {
			return nil, err
		}
	}
	if set.Full() {
		return nil, fmt.Errorf("%w: the bundle holds more names than can be mapped", cluster.ErrNames)
	}
	if id := b.Manifest().Cluster; id != nil {
		if !commonCluster(id.Name) {
			set.Add(cluster.NameCluster, id.Name)
		}
		if id.UID != "" {
			own = append(own, cluster.Name{Kind: nameID, Value: id.UID})
		}
	}
	return append(set.List(), own...), nil
}

// namesInFile reads one file of objects:
// cluster/resources/<group|core>/<version>/<resource>/<namespace|_cluster>.ndjson
func namesInFile(b *opened, path string, set *cluster.NameSet) error {
	parts := strings.Split(strings.TrimPrefix(path, resourcesDir), "/")
	if len(parts) != 4 {
		return nil
	}
	gvr := schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
	if gvr.Group == "core" {
		gvr.Group = ""
	}
	f, err := b.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxObjectLine)
	for lines.Scan() {
		if err := set.Object(gvr, parts[3] != "_cluster.ndjson", lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// checkListed says whether the collection has seen all of some core resources.
func checkListed(b *opened, resources ...string) error {
	seen := map[string]collector.Status{}
	f, err := b.Open("collection/results.ndjson")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s, and the bundle does not say whether it has them all", cluster.ErrNames, namesNeededFor)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxObjectLine))
	for {
		var r collector.Result
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("collection/results.ndjson: %w", err)
		}
		seen[r.Path] = r.Status
	}
	for _, name := range resources {
		if status := seen[resourcesDir+"core/v1/"+name]; status != collector.StatusOK {
			if status == "" {
				status = "never asked for"
			}
			return fmt.Errorf("%w: %s, and in this bundle the %s are %s: it has to be collected anew, by who may list them", cluster.ErrNames, namesNeededFor, name, status)
		}
	}
	return nil
}
