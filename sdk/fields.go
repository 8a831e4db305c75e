package sdk

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// fieldsOf lists the paths of t's json tags: "metadata.name",
// "status.containerStatuses[].restartCount". Keys that start with "_" are the
// host's own and not listed.
func fieldsOf(t reflect.Type) ([]string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rows are structs, not %s", t)
	}
	var w fieldWalk
	if err := w.fields(t, ""); err != nil {
		return nil, err
	}
	if len(w.paths) == 0 {
		return nil, errors.New("the row type names no field")
	}
	return w.paths, nil
}

type fieldWalk struct {
	paths []string
	open  []reflect.Type // structs being walked: a type within itself is a leaf
}

func (w *fieldWalk) fields(t reflect.Type, prefix string) error {
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	fields, err := structFields(t)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if strings.HasPrefix(f.name, "_") {
			continue
		}
		if err := w.value(f.typ, prefix+key(f.name)); err != nil {
			return err
		}
	}
	return nil
}

func (w *fieldWalk) value(t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case decodesItself(t) || slices.Contains(w.open, t):
	case t.Kind() == reflect.Struct && t.NumField() > 0:
		return w.fields(t, path+".")
	case t.Kind() == reflect.Slice && elem(t).Kind() == reflect.Struct && !decodesItself(elem(t)) && !slices.Contains(w.open, elem(t)):
		return w.fields(elem(t), path+"[].")
	}
	if !slices.Contains(w.paths, path) {
		w.paths = append(w.paths, path)
	}
	return nil
}

// structField is a field by its json tag; index leads to it through embedded
// structs.
type structField struct {
	name  string
	index []int
	typ   reflect.Type
}

// structFields lists the tagged fields of a struct and of those it embeds; the
// one nearer to the top hides others of its name.
func structFields(t reflect.Type) ([]structField, error) {
	var fields []structField
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" && options == "" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			embedded, err := structFields(f.Type)
			if err != nil {
				return nil, err
			}
			for _, e := range embedded {
				e.index = append([]int{i}, e.index...)
				fields = append(fields, e)
			}
		case !tagged || name == "":
			return nil, fmt.Errorf("field %s.%s has no json tag to name it", t, f.Name)
		case slices.Contains(strings.Split(options, ","), "string"):
			return nil, fmt.Errorf("field %s.%s: the option \"string\" of its json tag is not supported", t, f.Name)
		default:
			fields = append(fields, structField{name, []int{i}, f.Type})
		}
	}
	return nearest(t, fields)
}

// nearest drops fields that others of their name hide.
func nearest(t reflect.Type, fields []structField) ([]structField, error) {
	depth := map[string]int{}
	for _, f := range fields {
		if d, seen := depth[f.name]; !seen || len(f.index) < d {
			depth[f.name] = len(f.index)
		}
	}
	fields = slices.DeleteFunc(fields, func(f structField) bool { return len(f.index) > depth[f.name] })
	if len(fields) > len(depth) {
		return nil, fmt.Errorf("type %s has two fields of one name", t)
	}
	return fields, nil
}

// key quotes a key that holds what a path gives a meaning to.
func key(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`.,"[]{}\`, r) }) {
		return strconv.Quote(name)
	}
	return name
}

func elem(t reflect.Type) reflect.Type {
	t = t.Elem()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
