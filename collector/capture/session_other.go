//go:build !linux

package capture

import (
	"context"
	"fmt"
	"io"

	"github.com/casefile-io/casefile/collector"
)

type session struct{}

func open(Spec) (*session, error) {
	return nil, fmt.Errorf("packets are captured on Linux only: %w", collector.ErrUnsupported)
}

func (*session) run(context.Context, io.Writer) (Stats, error) {
	return Stats{}, collector.ErrUnsupported
}
