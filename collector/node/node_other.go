//go:build !linux

package node

import (
	"context"
	"fmt"

	"github.com/casefile-io/casefile/collector"
)

// Collect implements [collector.Collector].
func (n *node) Collect(context.Context, *collector.Output) error {
	return fmt.Errorf("%w: kernel data is read on Linux only", collector.ErrUnsupported)
}

// LocalPods finds none.
func LocalPods() []Pod { return nil }

// Namespaces returns an error that wraps [collector.ErrUnsupported].
func Namespaces(string, []Pod) ([]Netns, error) {
	return nil, fmt.Errorf("%w: network namespaces are known on Linux only", collector.ErrUnsupported)
}
