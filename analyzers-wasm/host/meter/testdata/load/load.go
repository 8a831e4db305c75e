// Command work reads what analyzers read, from stdin: pods as JSON lines, the
// text of /proc/net/tcp, or a pcap file. It prints sums.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	switch os.Args[1] {
	case "pods":
		pods(in)
	case "tcp":
		tcp(in)
	case "pcap":
		pcap(in)
	}
}

func pods(in *bufio.Reader) {
	n, restarts, names := 0, 0, 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			break
		}
		n++
		s := scanner{b: line}
		s.value(func(key []byte, s *scanner) bool {
			switch string(key) {
			case "restartCount":
				restarts += s.number()
				return true
			case "name":
				names += len(s.text())
				return true
			}
			return false
		})
	}
	fmt.Println(n, restarts, names)
}

// scanner is a JSON reader that skips what nobody asks for.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) text() []byte {
	s.i++
	from := s.i
	for s.b[s.i] != '"' {
		if s.b[s.i] == '\\' {
			s.i++
		}
		s.i++
	}
	s.i++
	return s.b[from : s.i-1]
}

func (s *scanner) number() int {
	n := 0
	for ; s.b[s.i] >= '0' && s.b[s.i] <= '9'; s.i++ {
		n = n*10 + int(s.b[s.i]-'0')
	}
	return n
}

func (s *scanner) value(field func([]byte, *scanner) bool) {
	switch s.b[s.i] {
	case '{':
		for s.i++; s.b[s.i] != '}'; {
			key := s.text()
			s.i++
			if !field(key, s) {
				s.value(field)
			}
			if s.b[s.i] == ',' {
				s.i++
			}
		}
		s.i++
	case '[':
		for s.i++; s.b[s.i] != ']'; {
			s.value(field)
			if s.b[s.i] == ',' {
				s.i++
			}
		}
		s.i++
	case '"':
		s.text()
	default:
		for c := s.b[s.i]; c != ',' && c != '}' && c != ']'; c = s.b[s.i] {
			s.i++
		}
	}
}

func tcp(in *bufio.Reader) {
	states := map[uint64]int{}
	ports := map[uint64]int{}
	queued := uint64(0)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			break
		}
		var f [5]uint64 // slot, local, remote, state, queues
		k, v, fresh := 0, uint64(0), true
		for _, c := range line {
			switch {
			case c >= '0' && c <= '9':
				v, fresh = v<<4|uint64(c-'0'), false
			case c >= 'A' && c <= 'F':
				v, fresh = v<<4|uint64(c-'A'+10), false
			case c == ' ':
				if !fresh && k < len(f) {
					f[k] = v
					k++
				}
				v, fresh = 0, true
			}
		}
		states[f[3]]++
		ports[f[1]&0xffff]++
		queued += f[4] & 0xffffffff
	}
	fmt.Println(len(states), len(ports), queued)
}

type flow struct {
	src, dst     uint32
	sport, dport uint16
}

func pcap(in *bufio.Reader) {
	head := make([]byte, 24)
	if _, err := io.ReadFull(in, head); err != nil {
		panic(err)
	}
	flows := map[flow]uint64{}
	packets, syns := 0, 0
	buf := make([]byte, 65536)
	for {
		if _, err := io.ReadFull(in, head[:16]); err != nil {
			break
		}
		p := buf[:binary.LittleEndian.Uint32(head[8:])]
		if _, err := io.ReadFull(in, p); err != nil {
			break
		}
		packets++
		if len(p) < 54 || binary.BigEndian.Uint16(p[12:]) != 0x0800 || p[23] != 6 {
			continue
		}
		ip := p[14:]
		l4 := ip[int(ip[0]&15)*4:]
		flows[flow{binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:]), binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])}] += uint64(binary.BigEndian.Uint16(ip[2:]))
		if l4[13]&2 != 0 {
			syns++
		}
	}
	total := uint64(0)
	for _, n := range flows {
		total += n
	}
	fmt.Println(packets, syns, len(flows), total)
}
