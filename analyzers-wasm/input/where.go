package input

import "fmt"

// where says of a row whether an input takes it.
type where struct{}

func compileWhere(string) (*where, error) {
	return nil, fmt.Errorf("%w: where", ErrUnsupported)
}
