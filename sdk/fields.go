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
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" || strings.HasPrefix(name, "_") || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			if err := w.fields(f.Type, prefix); err != nil {
				return err
			}
		case !tagged || name == "":
			return fmt.Errorf("field %s.%s has no json tag to name it", t, f.Name)
		default:
			if err := w.value(f.Type, prefix+key(name)); err != nil {
				return err
			}
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
