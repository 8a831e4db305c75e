//go:build !linux

package ebpf

import (
	"context"
	"fmt"

	"github.com/casefile-io/casefile/collector"
)

// Collect implements [collector.Collector].
func (w *window) Collect(context.Context, *collector.Output) error {
	return fmt.Errorf("%w: kernel events are watched on Linux only", collector.ErrUnsupported)
}
