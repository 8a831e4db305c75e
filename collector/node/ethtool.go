package node

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Commands and layouts of include/uapi/linux/ethtool.h. The library for it
// prints to standard output, where the agent's frames go, and hands the kernel
// pointers that the garbage collector does not know.
const (
	ethDriver       = 0x03
	ethLink         = 0x0a
	ethCoalesce     = 0x0e
	ethRings        = 0x10
	ethPause        = 0x12
	ethStrings      = 0x1b
	ethStats        = 0x1d
	ethPermAddr     = 0x20
	ethPrivFlags    = 0x27
	ethStringSets   = 0x37
	ethFeatures     = 0x3a
	ethChannels     = 0x3c
	ethLinkSettings = 0x4c

	ethSetStats     = 1
	ethSetPrivFlags = 2
	ethSetFeatures  = 4

	ethName     = 32
	ethSlack    = 256 // entries, should a driver get more of them meanwhile
	maxEthNames = 16 << 10
)

var errEthtool = errors.New("ethtool answer malformed")

// ethtool asks the kernel about one device. The first 4 bytes of buf are the
// command; the answer goes where the question was.
type ethtool func(buf []byte) error

func (e ethtool) ask(cmd uint32, size int) ([]byte, error) {
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, cmd)
	return b, e(b)
}

// numbers reads a command's answer of plain numbers behind the command.
func (e ethtool) numbers(cmd uint32, names string) (object, error) {
	b, err := e.ask(cmd, 4+4*len(strings.Fields(names)))
	if err != nil {
		return nil, err
	}
	return structOf(b[4:], 4, names).(object), nil
}

// strings lists the names of a set.
func (e ethtool) strings(set uint32) ([]string, error) {
	b := make([]byte, 16+4)
	binary.NativeEndian.PutUint32(b, ethStringSets)
	binary.NativeEndian.PutUint64(b[8:], 1<<set)
	if err := e(b); err != nil {
		return nil, err
	}
	n := binary.NativeEndian.Uint32(b[16:])
	if binary.NativeEndian.Uint64(b[8:]) == 0 || n == 0 {
		return nil, nil
	}
	if n > maxEthNames {
		return nil, errEthtool
	}
	b = make([]byte, 12+(int(n)+ethSlack)*ethName)
	binary.NativeEndian.PutUint32(b, ethStrings)
	binary.NativeEndian.PutUint32(b[4:], set)
	binary.NativeEndian.PutUint32(b[8:], n)
	if err := e(b); err != nil {
		return nil, err
	}
	return ethNames(b[12:], int(min(n, binary.NativeEndian.Uint32(b[8:])))), nil
}

func ethNames(b []byte, n int) []string {
	list := make([]string, 0, n)
	for ; n > 0 && len(b) >= ethName; n-- {
		list = append(list, strings.TrimSpace(cText(b[:ethName])))
		b = b[ethName:]
	}
	return list
}

// stats are a driver's own counters.
func (e ethtool) stats() (map[string]uint64, error) {
	names, err := e.strings(ethSetStats)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	b := make([]byte, 8+8*(len(names)+ethSlack))
	binary.NativeEndian.PutUint32(b, ethStats)
	binary.NativeEndian.PutUint32(b[4:], uint32(len(names)))
	if err := e(b); err != nil {
		return nil, err
	}
	n := min(len(names), int(binary.NativeEndian.Uint32(b[4:])))
	out := make(map[string]uint64, n)
	for i, name := range names[:n] {
		if name != "" {
			out[name] = binary.NativeEndian.Uint64(b[8+8*i:])
		}
	}
	return out, nil
}

// features are on or off; "fixed" cannot be changed, "wanted" is on or off as
// it was asked for, although it is not so.
func (e ethtool) features() (map[string]string, error) {
	names, err := e.strings(ethSetFeatures)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	blocks := (len(names) + 31) / 32
	b := make([]byte, 8+16*blocks)
	binary.NativeEndian.PutUint32(b, ethFeatures)
	binary.NativeEndian.PutUint32(b[4:], uint32(blocks))
	if err := e(b); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(names))
	for i, name := range names {
		at := 8 + 16*(i/32)
		bit := func(part int) bool { return binary.NativeEndian.Uint32(b[at+4*part:])>>(i%32)&1 != 0 }
		available, requested, active, never := bit(0), bit(1), bit(2), bit(3)
		s := map[bool]string{true: "on", false: "off"}[active]
		switch {
		case name == "":
			continue
		case !available || never:
			s += " fixed"
		case requested != active:
			s += " wanted " + map[bool]string{true: "on", false: "off"}[requested]
		}
		out[name] = s
	}
	return out, nil
}

func (e ethtool) privateFlags() ([]string, error) {
	names, err := e.strings(ethSetPrivFlags)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	b, err := e.ask(ethPrivFlags, 8)
	if err != nil {
		return nil, err
	}
	return flagNames(int(binary.NativeEndian.Uint32(b[4:])), names), nil
}

// settings are speed and duplex. The kernel first says how many words its
// masks of link modes have; only to that number it answers.
func (e ethtool) settings() (object, error) {
	const head, words = 48, 15 // struct ethtool_link_settings, and where the number of words is
	b, err := e.ask(ethLinkSettings, head)
	if err != nil {
		return nil, err
	}
	n := -int(int8(b[words]))
	if n <= 0 {
		return nil, errEthtool
	}
	b = make([]byte, head+3*4*n)
	binary.NativeEndian.PutUint32(b, ethLinkSettings)
	b[words] = byte(n)
	if err := e(b); err != nil {
		return nil, err
	}
	o := object{}
	if speed := binary.NativeEndian.Uint32(b[4:]); speed != 1<<32-1 {
		o.set("speedMbps", uint64(speed))
	}
	switch b[8] {
	case 0:
		o["duplex"] = "half"
	case 1:
		o["duplex"] = "full"
	}
	switch b[9] {
	case 0xef:
		o["port"] = "none"
	case 0xff:
		o["port"] = "other"
	default:
		o["port"] = nameAt(b[9], "tp", "aui", "mii", "fibre", "bnc", "da")
	}
	if b[11] == 1 {
		o["autoneg"] = true
	}
	return o, nil
}

// read asks everything; what a driver does not offer is told in errors. again
// leaves out what does not move.
func (e ethtool) read(row *ethtoolRow, again bool) {
	row.Errors = map[string]string{}
	note := func(what string, err error) {
		if err != nil {
			row.Errors[what] = err.Error()
		}
	}
	var err error
	row.Stats, err = e.stats()
	note("stats", err)
	if link, err := e.ask(ethLink, 8); err == nil {
		up := binary.NativeEndian.Uint32(link[4:]) != 0
		row.Link = &up
	}
	if again {
		return
	}
	b, err := e.ask(ethDriver, 196)
	if note("driver", err); err == nil {
		row.Driver, row.Version, row.Firmware, row.Bus = cText(b[4:36]), cText(b[36:68]), cText(b[68:100]), cText(b[100:132])
	}
	row.Features, err = e.features()
	note("features", err)
	row.PrivateFlags, err = e.privateFlags()
	note("privateFlags", err)
	row.Settings, err = e.settings()
	note("settings", err)
	for _, n := range []struct {
		what, names string
		cmd         uint32
		to          *object
	}{
		{"rings", "rxMax rxMiniMax rxJumboMax txMax rx rxMini rxJumbo tx", ethRings, &row.Rings},
		{"channels", "rxMax txMax otherMax combinedMax rx tx other combined", ethChannels, &row.Channels},
		{"coalesce", "rxUsecs rxFrames rxUsecsIRQ rxFramesIRQ txUsecs txFrames txUsecsIRQ txFramesIRQ statsUsecs adaptiveRx adaptiveTx pktRateLow rxUsecsLow rxFramesLow txUsecsLow txFramesLow " +
			"pktRateHigh rxUsecsHigh rxFramesHigh txUsecsHigh txFramesHigh sampleInterval", ethCoalesce, &row.Coalesce},
		{"pause", "autoneg rx tx", ethPause, &row.Pause},
	} {
		*n.to, err = e.numbers(n.cmd, n.names)
		note(n.what, err)
	}
	if b, err := ethtoolPermAddr(e); err == nil {
		row.PermMAC = b
	}
}

func ethtoolPermAddr(e ethtool) (string, error) {
	b := make([]byte, 8+32)
	binary.NativeEndian.PutUint32(b, ethPermAddr)
	binary.NativeEndian.PutUint32(b[4:], 32)
	if err := e(b); err != nil {
		return "", err
	}
	n := min(binary.NativeEndian.Uint32(b[4:]), 32)
	if n == 0 || allZero(b[8:8+n]) {
		return "", nil
	}
	return macText(b[8 : 8+n]), nil
}
