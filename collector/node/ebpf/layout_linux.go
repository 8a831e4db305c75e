package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/casefile-io/casefile/collector"
)

// kernel is what the programs and the rows take from the type information.
type kernel struct {
	layout
	drops, resets map[uint32]string // names of reasons
	lacks         map[string]error  // tracepoint → why it cannot be used
}

// swap16 gives the value that a field in network order has when it is read
// as a number.
func swap16(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// findKernel reads the running kernel's type information.
func findKernel() (*kernel, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("%w: this kernel gives no type information (/sys/kernel/btf/vmlinux): %w", collector.ErrUnsupported, err)
	}
	k := &kernel{lacks: map[string]error{}, drops: reasons(spec, "skb_drop_reason", "SKB_DROP_REASON_"), resets: reasons(spec, "sk_rst_reason", "SK_RST_REASON_")}
	if k.layout, err = findLayout(spec); err != nil {
		return nil, fmt.Errorf("%w: this kernel's structures are not as expected: %w", collector.ErrUnsupported, err)
	}
	for _, tp := range []struct {
		name string
		need int // arguments
		args *int
	}{{"kfree_skb", 3, &k.dropArgs}, {"tcp_retransmit_skb", 2, new(int)}, {"tcp_receive_reset", 1, new(int)}, {"tcp_send_reset", 2, &k.resetArgs}, {"inet_sock_set_state", 3, new(int)}} {
		if *tp.args, err = arguments(spec, tp.name); err == nil && *tp.args < tp.need {
			err = fmt.Errorf("%w: the tracepoint %s of this kernel has %d arguments, %d are needed (drop reasons came with Linux 5.17)", collector.ErrUnsupported, tp.name, *tp.args, tp.need)
		}
		if err != nil {
			k.lacks[tp.name] = err
		}
	}
	return k, nil
}

// arguments counts those of a tracepoint.
func arguments(spec *btf.Spec, name string) (int, error) {
	var def *btf.Typedef
	if err := spec.TypeByName("btf_trace_"+name, &def); err != nil {
		return 0, fmt.Errorf("%w: this kernel has no tracepoint %s: %w", collector.ErrUnsupported, name, err)
	}
	if ptr, ok := def.Type.(*btf.Pointer); ok {
		if fn, ok := ptr.Target.(*btf.FuncProto); ok && len(fn.Params) > 0 {
			return len(fn.Params) - 1, nil // the first is the tracepoint's own
		}
	}
	return 0, fmt.Errorf("%w: the tracepoint %s of this kernel is of an unknown form", collector.ErrUnsupported, name)
}

// reasons reads the names of an enum, without what they all begin with.
func reasons(spec *btf.Spec, name, prefix string) map[uint32]string {
	names := map[uint32]string{}
	var enum *btf.Enum
	if spec.TypeByName(name, &enum) != nil {
		return names // an older kernel
	}
	for _, v := range enum.Values {
		short := strings.TrimPrefix(strings.TrimPrefix(v.Name, prefix), "SKB_")
		names[uint32(v.Value)] = short
	}
	return names
}

func findLayout(spec *btf.Spec) (layout, error) {
	l := layout{}
	var errs []error
	at := func(field *int16, structure string, path ...string) {
		var s *btf.Struct
		err := spec.TypeByName(structure, &s)
		var off uint32
		if err == nil {
			off, err = offsetOf(s, path)
		}
		if err != nil {
			errs = append(errs, err)
		}
		*field = int16(off)
	}
	at(&l.skbDev, "sk_buff", "dev")
	at(&l.skbSk, "sk_buff", "sk")
	at(&l.skbLen, "sk_buff", "len")
	at(&l.skbProtocol, "sk_buff", "protocol")
	at(&l.skbHead, "sk_buff", "head")
	at(&l.skbNetwork, "sk_buff", "network_header")
	at(&l.devIndex, "net_device", "ifindex")
	at(&l.devName, "net_device", "name")
	at(&l.devNet, "net_device", "nd_net", "net")
	at(&l.netInum, "net", "ns", "inum")
	at(&l.skNet, "sock_common", "skc_net", "net")
	at(&l.skFamily, "sock_common", "skc_family")
	at(&l.skState, "sock_common", "skc_state")
	at(&l.skPort, "sock_common", "skc_num")
	at(&l.skDport, "sock_common", "skc_dport")
	at(&l.skSrc, "sock_common", "skc_rcv_saddr")
	at(&l.skDst, "sock_common", "skc_daddr")
	at(&l.skSrc6, "sock_common", "skc_v6_rcv_saddr")
	at(&l.skDst6, "sock_common", "skc_v6_daddr")
	err := errors.Join(errs...)
	at(&l.skProtocol, "sock", "sk_protocol")
	var s *btf.Struct
	if spec.TypeByName("sock", &s) != nil || bitfield(s, "sk_protocol") { // before Linux 5.6
		l.skProtocol = -1
	}
	return l, err
}

// offsetOf gives the place of a field, looking into unnamed members.
func offsetOf(t btf.Type, path []string) (uint32, error) {
	total := uint32(0)
	for _, name := range path {
		m, off, ok := member(t, name)
		if !ok || m.BitfieldSize > 0 {
			return 0, fmt.Errorf("no field %s", strings.Join(path, "."))
		}
		total, t = total+off, btf.UnderlyingType(m.Type)
	}
	if total > math.MaxInt16 {
		return 0, fmt.Errorf("field %s lies too far in", strings.Join(path, "."))
	}
	return total, nil
}

func members(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

func member(t btf.Type, name string) (btf.Member, uint32, bool) {
	for _, m := range members(t) {
		if m.Name == name {
			return m, m.Offset.Bytes(), true
		}
		if m.Name == "" {
			if found, off, ok := member(m.Type, name); ok {
				return found, m.Offset.Bytes() + off, true
			}
		}
	}
	return btf.Member{}, 0, false
}

func bitfield(t btf.Type, name string) bool {
	m, _, ok := member(t, name)
	return !ok || m.BitfieldSize > 0
}
