//go:build !linux

package probe

import (
	"context"

	"github.com/casefile-io/casefile/collector"
)

const supported = false

func (p *prober) dns(context.Context) error  { return collector.ErrUnsupported }
func (p *prober) tcp(context.Context) error  { return collector.ErrUnsupported }
func (p *prober) mtu(context.Context) error  { return collector.ErrUnsupported }
func (p *prober) path(context.Context) error { return collector.ErrUnsupported }
func (p *prober) http(context.Context) error { return collector.ErrUnsupported }
