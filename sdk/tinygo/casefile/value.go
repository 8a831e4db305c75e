// Package casefile is what an analyzer in Go needs if it is to be small: rows,
// settings and findings, without reflection, encoding/json or fmt, so that
// TinyGo compiles it. The full SDK is the package above, sdk.
//
//	func stuck(run *casefile.Run) error {
//		pods := run.Rows("pods")
//		for pods.Next() {
//			if p := pods.Row(); p.Text("status.phase") == "Pending" {
//				name := p.Text("metadata.name")
//				run.Find(casefile.Finding{
//					Subject:  casefile.Subject{Kind: "Pod", Namespace: p.Text("metadata.namespace"), Name: name},
//					Params:   []casefile.Param{{"pod", casefile.Text(name)}},
//					Evidence: []casefile.Evidence{casefile.At(p.Int("_at"))},
//				})
//			}
//		}
//		return pods.Err()
//	}
//
//	func main() {
//		casefile.Main(declaration, casefile.Rule{ID: "mine/stuck", Needs: []string{"pods"}, Run: stuck})
//	}
//
// A rule that found nothing is clear, unless one of the inputs that it needs
// is incomplete, it returned an error, or it called [Run.Unknown]: then it is
// unknown, and says why. Nothing here trusts a length that it reads.
package casefile

import "strings"

// Kind is what a value is.
type Kind byte

// The kinds of values.
const (
	Null Kind = iota
	Boolean
	Integer
	Number
	String
	List
	Object
)

// Value is a value of a row, or of any JSON text.
type Value struct {
	Kind   Kind
	truth  bool
	whole  int64
	number float64
	text   string
	items  []Value
	keys   []string // of an object, one for each item
}

// Text makes a value, for params, as Int, Float and Bool do.
func Text(s string) Value   { return Value{Kind: String, text: s} }
func Int(n int64) Value     { return Value{Kind: Integer, whole: n} }
func Float(n float64) Value { return Value{Kind: Number, number: n} }
func Bool(b bool) Value     { return Value{Kind: Boolean, truth: b} }

// Key is the value of one key, which may hold dots.
func (v Value) Key(key string) Value {
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return Value{}
}

// At is the value at a path, "metadata.name". What is absent is null: the host
// leaves out what is zero.
func (v Value) At(path string) Value {
	for {
		key, rest, more := strings.Cut(path, ".")
		v = v.Key(key)
		if !more {
			return v
		}
		path = rest
	}
}

// Text is the text at a path. Each accessor gives the zero of its type when the
// value is of another.
func (v Value) Text(path string) string { return v.At(path).text }
func (v Value) Int(path string) int64   { return v.At(path).whole }
func (v Value) Bool(path string) bool   { return v.At(path).truth }

// Float takes whole numbers too.
func (v Value) Float(path string) float64 {
	n := v.At(path)
	if n.Kind == Integer {
		return float64(n.whole)
	}
	return n.number
}

// List is the items at a path.
func (v Value) List(path string) []Value {
	if n := v.At(path); n.Kind == List {
		return n.items
	}
	return nil
}

// String is the text itself, "" of another value.
func (v Value) String() string { return v.text }
