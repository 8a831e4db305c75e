package kernel

import (
	"iter"

	"github.com/casefile-io/casefile/sdk"
)

// Tables is one kind of table of the nodes' own network namespaces and of
// those of pods. They are two inputs, so that a file that failed elsewhere
// below nodes/ does not make them incomplete, as it would with "**".
type Tables[T any] struct{ own, pods sdk.RowSource[T] }

func everywhere[T any](name, file string) Tables[T] {
	return Tables[T]{sdk.Table[T](name, "nodes/*/"+file), sdk.Table[T]("pod-"+name, "nodes/*/netns/*/"+file)}
}

// Sources are the inputs to declare. The pods' are optional, since a machine
// without pods has none; a rule calls [Tables.Check] instead.
func (t Tables[T]) Sources() []sdk.Source { return []sdk.Source{t.own, sdk.Optional(t.pods)} }

// Rows streams the nodes' rows, then those of pods.
func (t Tables[T]) Rows(in *sdk.Input) iter.Seq2[T, int64] { return t.RowsHaving(in, "") }

// RowsHaving streams those whose line holds the text.
func (t Tables[T]) RowsHaving(in *sdk.Input, text string) iter.Seq2[T, int64] {
	return func(yield func(T, int64) bool) {
		for _, s := range []sdk.RowSource[T]{t.own, t.pods} {
			for row, at := range s.RowsHaving(in, text) {
				if !yield(row, at) {
					return
				}
			}
		}
	}
}

// Check makes the rule unknown if tables of pods are lacking although there
// are namespaces of pods.
func (t Tables[T]) Check(in *sdk.Input, out *sdk.Reporter) {
	reason, missing := in.Missing(t.pods)
	if !missing {
		return
	}
	for _, r := range MachinesOf(in).Rows {
		for _, n := range r.V.Netns {
			if !n.Host {
				out.Unknown(reason, t.pods)
				return
			}
		}
	}
}
