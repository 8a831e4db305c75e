package node

import (
	"bytes"
	"strconv"
	"strings"
)

// parseStats reads a flat keyed file; keys, if any, are those to keep. What is
// zero is left out.
func parseStats(text []byte, keys map[string]bool) map[string]int64 {
	var stats map[string]int64
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(string(bytes.TrimSpace(line)), " ")
		if !ok || keys != nil && !keys[key] {
			continue
		}
		if n := parseLimit([]byte(value)); n != 0 {
			if stats == nil {
				stats = map[string]int64{}
			}
			stats[key] = n
		}
	}
	return stats
}

// parseIOStat reads io.stat of version 2: "8:0 rbytes=1 wbytes=2 rios=3 …".
func parseIOStat(text []byte) []cgroupIO {
	var list []cgroupIO
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		io := cgroupIO{Device: f[0]}
		for _, pair := range f[1:] {
			key, value, _ := strings.Cut(pair, "=")
			n := parseLimit([]byte(value))
			switch key {
			case "rbytes":
				io.ReadBytes = n
			case "wbytes":
				io.WriteBytes = n
			case "rios":
				io.Reads = n
			case "wios":
				io.Writes = n
			}
		}
		list = append(list, io)
	}
	return list
}

// parseBlkio reads the two files of version 1, with lines "8:0 Read 4096".
func parseBlkio(bytesText, countText []byte) []cgroupIO {
	var list []cgroupIO
	index := map[string]int{}
	each := func(text []byte, set func(io *cgroupIO, op string, n int64)) {
		for line := range bytes.Lines(text) {
			f := strings.Fields(string(line))
			if len(f) != 3 { // the last line is "Total 4096"
				continue
			}
			i, ok := index[f[0]]
			if !ok {
				i = len(list)
				index[f[0]], list = i, append(list, cgroupIO{Device: f[0]})
			}
			set(&list[i], f[1], parseLimit([]byte(f[2])))
		}
	}
	each(bytesText, func(io *cgroupIO, op string, n int64) {
		switch op {
		case "Read":
			io.ReadBytes = n
		case "Write":
			io.WriteBytes = n
		}
	})
	each(countText, func(io *cgroupIO, op string, n int64) {
		switch op {
		case "Read":
			io.Reads = n
		case "Write":
			io.Writes = n
		}
	})
	return list
}

// parsePressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and
// the same of "full"; nil when there is neither.
func parsePressure(text []byte) *pressure {
	var p pressure
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 5 {
			continue
		}
		var l pressureLine
		for _, pair := range f[1:] {
			key, value, _ := strings.Cut(pair, "=")
			switch key {
			case "avg10":
				l.Avg10 = percent(value)
			case "avg60":
				l.Avg60 = percent(value)
			case "avg300":
				l.Avg300 = percent(value)
			case "total":
				l.TotalUsec = parseLimit([]byte(value))
			}
		}
		switch f[0] {
		case "some":
			p.Some = &l
		case "full":
			p.Full = &l
		}
	}
	if p.Some == nil && p.Full == nil {
		return nil
	}
	return &p
}

// percent reads a number from 0 to 100; JSON has no other ones such as NaN.
func percent(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return 0
	}
	return v
}
