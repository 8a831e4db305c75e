package redact

import (
	"bytes"
	"strings"
)

// objectWalk is the walk through one object.
type objectWalk struct {
	*walker
	place
	start int

	meta          typeMeta // as far as it has been said
	passed, begun bool     // a member other than these; the rules for the type

	// name: DB_PASSWORD, value: x
	names            [2][]byte // of name and key
	secretName       bool      // of those that were said before
	valueAt, valueTo int       // of the string in out
}

// object redacts an object and returns what it says about itself.
func (w *walker) object(p place) (said, error) {
	if p.flat {
		p.rule = ""
	}
	o := &objectWalk{walker: w, place: p, start: w.i}
	known := object{kind: p.kind}
	if len(w.known) > 0 { // there are few of them
		if k, ok := w.known[w.i]; ok {
			known = k
		}
	}
	if w.hint == kindSecret {
		known.kind = kindSecret
	}
	var self said
	if err := w.members('{', '}', func() (bool, error) { return o.member(known, &self) }); err != nil {
		return self, err
	}
	o.fields() // for a type that came last
	if o.valueTo > 0 && !o.keep && (o.secretName || o.scanner.secretName(o.names[0]) || o.scanner.secretName(o.names[1])) {
		o.maskPair()
	}
	if kind := kindOf(self.kind, []byte(known.kind)); kind != "" {
		full := object{kind, string(self.namespace), string(self.name)}
		if full != known && !(full.kind == kindSecret && known.kind == kindSecret) {
			w.known[o.start] = full
			w.again = true
		}
	}
	return self, nil
}

// member redacts one member of an object and says whether it stays.
func (o *objectWalk) member(known object, self *said) (bool, error) {
	if o.peek() != '"' {
		return false, o.syntax("a name is missing")
	}
	name, err := o.lexString()
	if err != nil {
		return false, err
	}
	key := o.key(name)
	if key.plain {
		o.quote(name)
	} else {
		o.string(name, place{})
	}
	if bytes.IndexByte(name, '\\') >= 0 {
		name = unescape(nil, name)
	}
	o.space()
	if o.peek() != ':' {
		return false, o.syntax("a colon is missing")
	}
	o.out = append(o.out, ':')
	o.i++
	o.space()
	if c := o.peek(); key.dull && o.rule == "" && len(o.active) == 0 && !o.env && c != '"' && c != '{' && c != '[' {
		o.fields()
		_, err := o.value(place{}) // a number, of which tables have many
		return true, err
	}
	if rule := o.dropped(name, key, known); rule != "" {
		return false, o.stepOver(rule)
	}
	from, start := len(o.out), o.i
	if string(name) != "apiVersion" && string(name) != "kind" {
		o.fields()
	}
	child, err := o.value(o.childPlace(name, key, known))
	if err != nil {
		return false, err
	}
	o.learn(name, o.in[start:o.i], child, self)
	if string(name) == "value" && o.in[start] == '"' {
		o.valueAt, o.valueTo = from, len(o.out)
	}
	return true, nil
}

// isDull says whether a number or a literal below a name is kept as it is, and
// says nothing about its object. It leaves out all names that the functions
// below know.
func isDull(name string, k key) bool {
	switch name {
	case "apiVersion", "kind", "namespace", "name", "key", "metadata", "data", "stringData", "annotations", "items", "value", "auth":
		return false
	}
	return !k.applied && !k.secret && !k.password
}

// dropped gives the rule by which a member goes away as a whole.
func (o *objectWalk) dropped(name []byte, key key, known object) string {
	isSecret := known.kind == kindSecret
	switch string(name) {
	case "data", "stringData":
		if isSecret {
			return ruleSecretData
		}
	case "annotations":
		if isSecret || o.secret {
			return ruleAnnotation
		}
	}
	if key.applied {
		return ruleLastApplied
	}
	return ""
}

// stepOver steps over the value of a member that is dropped.
func (o *objectWalk) stepOver(rule string) error {
	found := o.found
	o.found = counts{}
	_, err := o.value(place{})
	o.found = found
	o.found[rule]++
	return err
}

// childPlace says where the value of a member stands.
func (o *objectWalk) childPlace(name []byte, key key, known object) place {
	first := o.peek()
	child := place{rule: o.rule, secret: known.kind == kindSecret && string(name) == "metadata", keep: o.keep}
	var hit *fieldRule
	if len(o.active) > 0 {
		child.active, hit = descend(o.active, name)
	}
	switch {
	case o.rule != "":
	case hit != nil && !hit.keep:
		child.rule = hit.rule
	case o.keep || hit != nil:
		child.keep = true
	case o.env && string(name) != "name" && string(name) != "valueFrom":
		child.rule = ruleEnv
	case first == '[' && key.env:
		child.env = true
	case first == '{' && key.env:
		child.rule = ruleEnv
	case first == '{' && known.kind == kindConfigMap && (string(name) == "data" || string(name) == "binaryData"):
		if !allowedConfigMap(known) {
			child.rule = ruleConfigMap
		}
	case first == '"' && string(name) == "auth":
		child.rule = ruleField
	case key.secret && (first == '"' || first == '[' || key.password && first != '{'):
		child.rule, child.flat = ruleField, true
	}
	if string(name) == "items" {
		child.kind = strings.TrimSuffix(known.kind, "List")
	}
	return child
}

// learn keeps what a member says about the object.
func (o *objectWalk) learn(name []byte, raw []byte, child said, self *said) {
	switch string(name) {
	case "apiVersion":
		o.meta.api = inside(raw)
	case "kind":
		o.meta.kind = inside(raw)
		self.kind = kindOf(self.kind, o.meta.kind)
	case "namespace":
		self.namespace = inside(raw)
	case "name":
		self.name = inside(raw)
		o.named(0, self.name)
	case "key":
		o.named(1, inside(raw))
	case "metadata":
		self.namespace, self.name = child.namespace, child.name
	}
}

// named keeps what an object calls a value; of several names, each counts.
func (o *objectWalk) named(i int, name []byte) {
	if o.names[i] != nil {
		o.secretName = o.secretName || o.scanner.secretName(o.names[i])
	}
	o.names[i] = name
}

// inside is what stands between the quotes of a string, empty for other values.
func inside(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return []byte{}
	}
	if raw = raw[1 : len(raw)-1]; bytes.IndexByte(raw, '\\') >= 0 {
		return unescape(nil, raw)
	}
	return raw
}

// maskPair masks the value that was found beside the name of a secret.
func (o *objectWalk) maskPair() {
	inside := o.out[o.valueAt+1 : o.valueTo-1]
	if harmlessValue(inside) || o.scanner.isMask(inside) {
		return
	}
	rest := append([]byte(nil), o.out[o.valueTo:]...)
	o.out = o.out[:o.valueAt]
	o.mask(ruleField)
	o.out = append(o.out, rest...)
}

// allowedConfigMap says whether the values of a ConfigMap stay, but for what
// the text rules find in them: those that say how the network is configured.
func allowedConfigMap(c object) bool {
	switch c.namespace + "/" + c.name {
	case "kube-system/coredns", "kube-system/node-local-dns", "kube-system/kube-proxy", "kube-system/kubeadm-config",
		"kube-system/kube-flannel-cfg", "kube-flannel/kube-flannel-cfg", "kube-system/cilium-config", "cilium/cilium-config",
		"kube-system/calico-config", "calico-system/cni-config":
		return true
	}
	return c.name == "kube-root-ca.crt" ||
		c.namespace == "kube-system" && (c.name == "kubelet-config" || strings.HasPrefix(c.name, "kubelet-config-1."))
}
