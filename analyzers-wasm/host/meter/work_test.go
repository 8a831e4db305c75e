package meter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// podLines makes pods as an API server lists them, a JSON object a line.
func podLines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"metadata":{"name":"web-%d","namespace":"shop","labels":{"app":"web","pod-template-hash":"5d69b9c8f%d"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d69b9c8f%d","controller":true}]},`, i, i%97, i%97)
		fmt.Fprintf(&b, `"spec":{"nodeName":"node-%d","containers":[{"name":"app","image":"registry.example/shop/web:1.%d","args":["--listen=:8080","--log=json"],"resources":{"limits":{"cpu":"500m","memory":"256Mi"}},"env":[{"name":"LEVEL","value":"a \"quoted\" one"}]}],"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},`, i%50, i%9)
		fmt.Fprintf(&b, `"status":{"phase":"Running","podIP":"10.1.%d.%d","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:05Z"}],"containerStatuses":[{"name":"app","ready":true,"restartCount":%d,"state":{"running":{"startedAt":"2026-01-02T03:04:05Z"}}}]}}`+"\n", i>>8&255, i&255, i%7)
	}
	return b.Bytes()
}

// tcpText makes the text of /proc/net/tcp.
func tcpText(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%4d: %08X:%04X %08X:%04X %02X %08X:%08X 02:%08X 00000000  1000        0 %d 2 0000000000000000 20 4 30 10 -1\n",
			i, 0x0100007f+i, i*7&0xffff, 0x0a000001+i, i*13&0xffff, 1+i%11, i%64, i%128, i, 40000+i)
	}
	return b.Bytes()
}

// pcapFile makes a capture of TCP segments.
func pcapFile(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	for i := range n {
		p := make([]byte, 54+r.IntN(80))
		binary.BigEndian.PutUint16(p[12:], 0x0800)
		p[14], p[23] = 0x45, 6
		binary.BigEndian.PutUint16(p[16:], uint16(len(p)-14))
		binary.BigEndian.PutUint32(p[26:], 0x0a000000+uint32(r.IntN(30)))
		binary.BigEndian.PutUint32(p[30:], 0x0a010000+uint32(r.IntN(30)))
		binary.BigEndian.PutUint16(p[34:], uint16(r.IntN(20)))
		p[46], p[47] = 0x50, byte(i&2)
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
