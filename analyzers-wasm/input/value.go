package input

import (
	"errors"
	"reflect"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/casefile-io/casefile/sdk/abi"
)

// rowActivation gives an expression its variables: the row, and its keys.
type rowActivation struct{ row object }

func (a *rowActivation) Parent() cel.Activation { return nil }

func (a *rowActivation) ResolveName(name string) (any, bool) {
	switch name {
	case "row", "object", "self":
		return a.row, true
	}
	v, ok := a.row.find(name)
	return v, ok
}

// jsonValue is a value of a scanned line that nobody has decoded yet: one of
// its document while the shape has it, else text.
type jsonValue struct {
	d     *document
	shape *shape
	at    int32
	raw   []byte
	left  *int // bytes that may still be looked through for this row
}

// below is a value within this one.
func (v jsonValue) below(raw []byte) ref.Val { return jsonValue{raw: raw, left: v.left}.val() }

// spend counts a walk through the text of the value.
func (v jsonValue) spend() bool {
	*v.left -= len(v.text())
	return *v.left >= 0
}

func (v jsonValue) text() []byte {
	if v.d != nil {
		return v.d.raw(v.at)
	}
	return v.raw
}

// val makes the value one of CEL's. Objects and arrays stay as they are.
func (v jsonValue) val() ref.Val {
	raw := v.text()
	switch raw[0] {
	case '{':
		return object{value: v}
	case '[':
		return array{v}
	case '"':
		if !v.spend() {
			return tooMuch()
		}
		return types.String(textOf(raw))
	case 't', 'f':
		return types.Bool(raw[0] == 't')
	case 'n':
		return types.NullValue
	}
	return numberVal(raw)
}

// numberVal keeps integers whole, as Kubernetes does.
func numberVal(raw []byte) ref.Val {
	if n, ok := parseInt(raw); ok && isDigits(raw) {
		return types.Int(n)
	}
	if u, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return types.Uint(u)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return types.NewErr("not a number")
	}
	return types.Double(f)
}

// object is a JSON object as a map of CEL.
type object struct {
	value  jsonValue
	origin *origin // of the row itself
}

var (
	_ traits.Mapper   = object{}
	_ traits.Foldable = object{}
	_ traits.Lister   = array{}
	_ traits.Foldable = array{}
)

// find looks a key up. The host's keys are not the row's to set.
func (o object) find(key string) (ref.Val, bool) {
	if o.origin != nil && reserved(key) {
		return o.origin.find(key)
	}
	v := o.value
	if v.d != nil && v.shape != nil && v.d.vals[v.at].kind == '{' {
		if i := v.shape.find([]byte(key), false); i >= 0 {
			at := v.d.vals[v.at].first + int32(i)
			if v.d.vals[at].kind == 0 {
				return nil, false
			}
			return jsonValue{d: v.d, shape: v.shape.subs[i], at: at, left: v.left}.val(), true
		}
	}
	if !v.spend() {
		return tooMuch(), true
	}
	var found []byte
	eachMember(v.text(), func(k, raw []byte) {
		if string(k) == key {
			found = raw // of several the last one counts
		}
	})
	if found == nil {
		return nil, false
	}
	return v.below(found), true
}

func tooMuch() ref.Val { return types.WrapErr(errTooMuch) }

func (o *origin) find(key string) (ref.Val, bool) {
	switch {
	case key == abi.KeyNode && o.node != "":
		return types.String(o.node), true
	case key == abi.KeyNetns && o.netns != 0:
		return types.Int(o.netns), true
	case key == abi.KeySample && o.sampled:
		return types.Int(o.sample), true
	}
	return nil, false
}

// Find, Get and Contains take texts for keys.
func (o object) Find(key ref.Val) (ref.Val, bool) {
	k, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return o.find(string(k))
}

func (o object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key.Value())
}

func (o object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

func (o object) Size() ref.Val {
	if !o.value.spend() {
		return types.Int(0)
	}
	keys := map[string]bool{} // one may stand twice
	eachMember(o.value.text(), func(k, _ []byte) { keys[string(k)] = true })
	return types.Int(len(keys))
}

// whole decodes all of the object, for what needs that.
func (o object) whole() traits.Mapper {
	m := map[ref.Val]ref.Val{}
	if !o.value.spend() {
		return types.NewRefValMap(types.DefaultTypeAdapter, m) // of no account: the test has failed
	}
	eachMember(o.value.text(), func(k, raw []byte) { m[types.String(k)] = o.value.below(raw) })
	return types.NewRefValMap(types.DefaultTypeAdapter, m)
}

func (o object) Iterator() traits.Iterator        { return o.whole().Iterator() }
func (o object) Equal(other ref.Val) ref.Val      { return o.whole().Equal(other) }
func (o object) Type() ref.Type                   { return types.MapType }
func (o object) Value() any                       { return o.whole().Value() }
func (o object) ConvertToType(t ref.Type) ref.Val { return o.whole().ConvertToType(t) }
func (o object) ConvertToNative(t reflect.Type) (any, error) {
	return o.whole().ConvertToNative(t)
}

// Fold calls for each member until it is told to stop.
func (o object) Fold(f traits.Folder) {
	m := o.whole()
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		if !f.FoldEntry(key, m.Get(key)) {
			return
		}
	}
}

// array is a JSON array as a list of CEL.
type array struct{ value jsonValue }

func (a array) Get(index ref.Val) ref.Val {
	at := index.ConvertToType(types.IntType)
	i, ok := at.(types.Int)
	if !ok || at.Equal(index) != types.True {
		return types.NewErr("no such index: %v", index.Value())
	}
	if !a.value.spend() {
		return tooMuch()
	}
	n, found := types.Int(0), []byte(nil)
	eachElement(a.value.text(), func(raw []byte) bool {
		if n == i {
			found = raw
		}
		n++
		return n <= i
	})
	if found == nil {
		return types.NewErr("index out of bounds: %d", i)
	}
	return a.value.below(found)
}

func (a array) Size() ref.Val {
	if !a.value.spend() {
		return types.Int(0)
	}
	n := 0
	eachElement(a.value.text(), func([]byte) bool { n++; return true })
	return types.Int(n)
}

// Fold calls for each element until it is told to stop.
func (a array) Fold(f traits.Folder) {
	if !a.value.spend() {
		return
	}
	i := types.Int(0)
	eachElement(a.value.text(), func(raw []byte) bool {
		i++
		return f.FoldEntry(i-1, a.value.below(raw))
	})
}

func (a array) Iterator() traits.Iterator { return a.whole().Iterator() }

func (a array) whole() traits.Lister {
	var list []ref.Val
	if !a.value.spend() {
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	}
	eachElement(a.value.text(), func(raw []byte) bool {
		list = append(list, a.value.below(raw))
		return true
	})
	return types.NewRefValList(types.DefaultTypeAdapter, list)
}

func (a array) Add(other ref.Val) ref.Val        { return a.whole().Add(other) }
func (a array) Contains(elem ref.Val) ref.Val    { return a.whole().Contains(elem) }
func (a array) Equal(other ref.Val) ref.Val      { return a.whole().Equal(other) }
func (a array) Type() ref.Type                   { return types.ListType }
func (a array) Value() any                       { return a.whole().Value() }
func (a array) ConvertToType(t ref.Type) ref.Val { return a.whole().ConvertToType(t) }
func (a array) ConvertToNative(t reflect.Type) (any, error) {
	return a.whole().ConvertToNative(t)
}

// eachMember calls f for the members of an object that was scanned before.
func eachMember(raw []byte, f func(key, value []byte)) {
	sc := &scanner{b: raw, i: 1}
	for sc.next() == '"' {
		key, escaped, err := sc.key()
		if err != nil {
			return
		}
		if escaped {
			key = unquote(key)
		}
		sc.next()
		start := sc.i
		if sc.skip(0) != nil {
			return
		}
		f(key, raw[start:sc.i])
		sc.take(',')
	}
}

func eachElement(raw []byte, f func(value []byte) bool) {
	sc := &scanner{b: raw, i: 1}
	for c := sc.next(); c != 0 && c != ']'; c = sc.next() {
		start := sc.i
		if sc.skip(0) != nil {
			return
		}
		if !f(raw[start:sc.i]) {
			return
		}
		sc.take(',')
	}
}

// textOf gives a JSON text without its quotes and escapes.
func textOf(raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	for _, c := range raw {
		if c == '\\' {
			return unquote(raw)
		}
	}
	return raw
}

func isDigits(raw []byte) bool {
	for i, c := range raw {
		if (c < '0' || c > '9') && (i > 0 || c != '-') {
			return false
		}
	}
	return true
}
