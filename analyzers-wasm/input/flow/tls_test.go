package flow

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// helloOf is the first flight of a client.
func helloOf(name string) []byte {
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: name, InsecureSkipVerify: true}).HandshakeContext(context.Background())
	}()
	defer a.Close()
	defer b.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(b, head); err != nil {
		return nil
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	_, _ = io.ReadFull(b, body)
	return append(head, body...)
}

// TestHelloInPieces: a ClientHello is found in whatever pieces and order.
func TestHelloInPieces(t *testing.T) {
	hello := helloOf("a.long.name.example")
	if name, whole := serverName(hello); name != "a.long.name.example" || !whole {
		t.Fatalf("%q %v", name, whole)
	}
	third := len(hello) / 3
	for name, order := range map[string][]int{"in order": {0, 1, 2}, "backwards": {0, 2, 1}, "again": {0, 0, 2, 0, 1}} {
		tr, f := &tracker{s: New(Limits{}), buffers: bufferRoom}, &flow{}
		for _, i := range order {
			end := (i + 1) * third
			if i == 2 {
				end = len(hello)
			}
			tr.tls(f, 0, &headers{seq: 1000 + uint32(i*third), payload: hello[i*third : end], length: end - i*third})
		}
		if f.extra == nil || f.extra.sni != "a.long.name.example" || tr.buffers != bufferRoom {
			t.Errorf("%s: %+v, room %d", name, f.extra, tr.buffers)
		}
	}
	tr, f := &tracker{s: New(Limits{}), buffers: bufferRoom}, &flow{}
	tr.tls(f, 0, &headers{seq: 1, payload: hello[:60], length: 1400})
	if f.extra == nil || f.extra.sni != "" || tr.buffers != bufferRoom {
		t.Errorf("a segment that was cut before the name: %+v", f.extra)
	}
}
