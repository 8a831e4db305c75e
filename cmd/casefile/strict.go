package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/encrypt"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster"
)

func redactFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "redact", Value: string(redact.PolicyStandard), Usage: "redaction `POLICY`: standard (credentials go), or strict (names and addresses become pseudonyms as well)"},
		redactKeyFlag(),
	}
}

func redactKeyFlag() cli.Flag {
	return &cli.StringFlag{Name: "redact-key", Usage: "key `FILE` of the pseudonyms (default: engagement.key beside your own identity, made on first use)"}
}

// redactKey loads the key that the pseudonyms hang on, or makes it on first
// use. say hears of a key that is used again, since bundles compare only under
// one key.
func redactKey(c *cli.Context, say func(format string, a ...any)) (pseudonym.Key, error) {
	if c.IsSet("redact-key") {
		key, err := readRedactKey(c.String("redact-key"))
		if err != nil {
			return key, usagef("--redact-key: %v", err)
		}
		return key, nil
	}
	file, err := engagementKeyFile()
	if err == nil && exists(file) {
		key, err := readRedactKey(file)
		if err != nil {
			return key, fmt.Errorf("the key of the pseudonyms: %w; move it away to have a new one made", err)
		}
		say("pseudonyms comparable with earlier bundles of this key: %s", file)
		return key, nil
	}
	var key pseudonym.Key
	if err == nil {
		key, err = makeRedactKey(file)
	}
	if err != nil {
		return key, usagef("cannot keep a key of the pseudonyms (%v): give --redact-key FILE with 64 hexadecimal digits", err)
	}
	say("made a key of the pseudonyms: %s; keep it: it turns addresses back and makes bundles comparable", file)
	return key, nil
}

func makeRedactKey(file string) (pseudonym.Key, error) {
	key, err := pseudonym.NewKey()
	if err != nil {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return key, err
	}
	return key, writeNew(file, key.Encode(), 0o600)
}

func engagementKeyFile() (string, error) {
	dir, err := configDir()
	return filepath.Join(dir, "engagement.key"), err
}

func readRedactKey(file string) (pseudonym.Key, error) {
	if file == "" {
		return pseudonym.Key{}, errors.New("an empty file name: is a variable unset?")
	}
	b, err := readCapped(file, maxKeyBytes)
	if err != nil {
		return pseudonym.Key{}, err
	}
	key, err := pseudonym.ParseKey(b)
	if err != nil {
		return key, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// strictness is what a run needs for strict redaction beside its redactor.
type strictness struct {
	key    pseudonym.Key
	names  []pseudonym.Name
	to     encrypt.Recipients // who can read the map of names
	mapper *pseudonym.Mapper  // checks what agents say

	mu     sync.Mutex
	agents map[string]string // pseudonyms that agents used, and that are right
}

// strictFrom gets ready for strict redaction, where c asks for it.
func strictFrom(c *cli.Context, p redact.Policy, say func(format string, a ...any)) (*strictness, error) {
	if p != redact.PolicyStrict {
		if c.IsSet("redact-key") {
			return nil, usagef("--redact-key is for --redact strict")
		}
		return nil, nil //nolint:nilnil // standard needs nothing
	}
	key, err := redactKey(c, say)
	if err != nil {
		return nil, err
	}
	to, err := ownRecipient(true)
	if err != nil {
		return nil, err
	}
	if len(to) == 0 {
		return nil, usagef("--redact strict keeps the map of names, encrypted to your own age identity, which needs a config folder: set HOME or XDG_CONFIG_HOME")
	}
	return &strictness{key: key, to: to, agents: map[string]string{}}, nil
}

// options are those of the redactor; names is what strict redaction knows.
func (s *strictness) options(o redact.Options, names []cluster.Name) (redact.Options, error) {
	if s == nil {
		return o, nil
	}
	for _, n := range names {
		s.names = append(s.names, pseudonym.Name{Kind: kindOf(n.Kind), Value: n.Value})
	}
	var err error
	if s.mapper, err = pseudonym.New(s.key, nil); err != nil {
		return o, err
	}
	o.Key, o.Names = s.key, s.names
	return o, nil
}

// nameID is the kind of a name that only this side knows: a cluster's UID.
const nameID = "id"

func kindOf(kind string) pseudonym.Kind {
	switch kind {
	case cluster.NameNode:
		return pseudonym.KindNode
	case cluster.NameNamespace:
		return pseudonym.KindNamespace
	case cluster.NameHost:
		return pseudonym.KindHost
	case cluster.NameUser:
		return pseudonym.KindUser
	case nameID:
		return pseudonym.KindID
	}
	return pseudonym.KindObject
}

// redaction makes the redactor that everything of the run passes. It comes
// before anything is named.
func (j *job) redaction(names []cluster.Name) error {
	o, err := j.strict.options(redact.Options{Payload: j.plan.Payload, Rules: j.plan.pack.rules}, names)
	if err != nil {
		return err
	}
	j.redactor, err = redact.New(j.plan.policy, o)
	return err
}

// clusterNames is what strict redaction must know before anything is collected.
// Lists that are denied become results of the run.
func (j *job) clusterNames(ctx context.Context, k *cluster.Cluster, id bundle.Cluster) ([]cluster.Name, error) {
	if j.strict == nil {
		return nil, nil
	}
	names, results, err := k.Names(ctx)
	if err != nil {
		return nil, err
	}
	if len(results) > 0 {
		j.collectors = append(j.collectors, told{cluster.NamesSource, results})
	}
	if id.Name != "" && !commonCluster(id.Name) {
		names = append(names, cluster.Name{Kind: cluster.NameCluster, Value: id.Name})
	}
	if id.UID != "" {
		names = append(names, cluster.Name{Kind: nameID, Value: id.UID})
	}
	return names, nil
}

// told is a collector that only has results to tell.
type told struct {
	name    string
	results []collector.Result
}

func (t told) Name() string { return t.name }

func (t told) Collect(_ context.Context, out *collector.Output) error {
	for _, r := range t.results {
		out.Record(r)
	}
	return nil
}

// maskCluster redacts who a cluster is. A name that strict redaction does not
// take for one, and that not every cluster has, becomes "cluster".
func maskCluster(r *redact.Redactor, id bundle.Cluster) (bundle.Cluster, error) {
	var err error
	name := id.Name
	if strings.Contains(name, "/") {
		if name, err = maskText(r, name); err != nil {
			return id, err
		}
	} else {
		const place = "cluster/logs/default/" // where a name stands that may be an ordinary word
		name = strings.TrimPrefix(r.Path(place+name), place)
	}
	if name == id.Name && !commonCluster(name) {
		name = "cluster"
	}
	id.Name = name
	id.UID, err = maskText(r, id.UID)
	return id, err
}

func commonCluster(name string) bool {
	switch name {
	case "", "kubernetes", "cluster", "in-cluster", "localhost", "demo", "kind", "minikube", "default":
		return true
	}
	return false
}

// maskLabels redacts the labels of a manifest, keys and values.
func maskLabels(r *redact.Redactor, labels map[string]string) (map[string]string, error) {
	masked := make(map[string]string, len(labels))
	for k, v := range labels {
		key, err := maskText(r, k)
		if err != nil {
			return nil, err
		}
		if masked[key], err = maskText(r, v); err != nil {
			return nil, err
		}
	}
	return masked, nil
}

// maskInfo redacts what a manifest says of its own accord.
func maskInfo(r *redact.Redactor, info *bundle.Info) error {
	var err error
	if info.Note, err = maskText(r, info.Note); err != nil {
		return err
	}
	info.Labels, err = maskLabels(r, info.Labels)
	return err
}

// maskText redacts text that lies in no entry.
func maskText(r *redact.Redactor, text string) (string, error) {
	var b strings.Builder
	_, err := io.CopyN(&b, r.Reader("collection/text.txt", strings.NewReader(text)), maxMasked)
	switch {
	case err == nil:
		return "", fmt.Errorf("%w: a text of more than %d bytes", redact.ErrRedaction, maxMasked)
	case !errors.Is(err, io.EOF) || errors.Is(err, redact.ErrRedaction):
		return "", err
	}
	return b.String(), nil
}

const maxMasked = 64 << 10

// agentPlan puts into a plan what its agent needs for strict redaction.
func (s *strictness) agentPlan(p *agent.Plan) {
	if s == nil {
		return
	}
	p.Key = s.key[:]
	p.Names = map[string][]string{}
	for _, n := range s.names {
		p.Names[string(n.Kind)] = append(p.Names[string(n.Kind)], n.Value)
	}
}

// heard takes the pseudonyms that an agent used, as far as they are what the
// key makes of their values: an agent is not trusted.
func (s *strictness) heard(said map[string]string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, value := range said {
		if len(s.agents) < maxReveal && isPseudonymOf(s.mapper, token, value) {
			s.agents[token] = value
		}
	}
}

// isPseudonymOf says whether token stands for value under the key of m.
func isPseudonymOf(m *pseudonym.Mapper, token, value string) bool {
	if mac, err := net.ParseMAC(value); err == nil && len(mac) == 6 {
		mapped := m.MAC([6]byte(mac))
		return strings.EqualFold(token, net.HardwareAddr(mapped[:]).String())
	}
	kind, tail, _ := strings.Cut(token, "-")
	switch pseudonym.Kind(kind) {
	case pseudonym.KindNode, pseudonym.KindNamespace, pseudonym.KindHost, pseudonym.KindUser, pseudonym.KindObject, pseudonym.KindID:
		return "obj-"+tail == string(m.Name(nil, pseudonym.KindObject, []byte(value))) // the kind is no part of the hash
	}
	return false
}
