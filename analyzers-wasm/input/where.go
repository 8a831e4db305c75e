package input

import "fmt"

const maxWhere = 2048

type where struct{}

func compileWhere(expr string) (*where, error) {
	return nil, fmt.Errorf("%w: where", ErrUnsupported)
}
