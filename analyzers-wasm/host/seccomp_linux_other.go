//go:build linux && !amd64 && !arm64

package host

func firstSeccomp() error { return errNotOffered }
func lastSeccomp() error  { return errNotOffered }
