package workload

import "iter"

// groups gathers things by key and gives them back in the order in which the
// keys first came.
type groups[T any] struct {
	order []string
	items map[string][]T
}

func (g *groups[T]) add(key string, item T) {
	if g.items == nil {
		g.items = map[string][]T{}
	}
	if _, ok := g.items[key]; !ok {
		g.order = append(g.order, key)
	}
	g.items[key] = append(g.items[key], item)
}

func (g *groups[T]) all() iter.Seq2[string, []T] {
	return func(yield func(string, []T) bool) {
		for _, key := range g.order {
			if !yield(key, g.items[key]) {
				return
			}
		}
	}
}
