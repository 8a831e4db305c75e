//go:build !linux

package sidecar

import (
	"context"
	"fmt"

	"github.com/casefile-io/casefile/collector"
)

// Collect implements [collector.Collector].
func (p *proxies) Collect(context.Context, *collector.Output) error {
	return fmt.Errorf("%w: network namespaces are known on Linux only", collector.ErrUnsupported)
}
