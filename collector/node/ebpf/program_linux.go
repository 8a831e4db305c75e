package ebpf

import (
	"github.com/cilium/ebpf/asm"
)

// offsets of the fields that the programs read, in bytes; see [findLayout].
type layout struct {
	skbDev, skbSk, skbLen, skbProtocol, skbHead, skbNetwork int16
	devIndex, devName, devNet                               int16
	netInum                                                 int16
	skNet, skFamily, skState, skPort, skDport               int16
	skSrc, skDst, skSrc6, skDst6                            int16
	skProtocol                                              int16 // -1: not to be read as a whole

	dropArgs, resetArgs int // of the tracepoints: a socket came with 6.11, a reason with 6.10
}

// program is one program in the making. R6 to R9 hold what a call must not
// destroy; the key is built on the stack.
type program struct {
	ins    asm.Instructions
	l      layout
	key    int16 // offset of the key from the frame pointer
	value  int16
	counts int // descriptors of its maps
	lost   int
}

func newProgram(l layout, counts, lost, keySize int) *program {
	p := &program{l: l, key: int16(-keySize), value: int16(-keySize - valueSize), counts: counts, lost: lost}
	p.add(asm.Mov.Imm(asm.R0, 0))
	for at := int16(0); at < int16(keySize); at += 8 {
		p.add(asm.StoreMem(asm.RFP, p.key+at, asm.R0, asm.DWord))
	}
	return p
}

func (p *program) add(ins ...asm.Instruction) { p.ins = append(p.ins, ins...) }

// label names the next instruction.
func (p *program) label(name string) {
	p.add(asm.Mov.Reg(asm.R0, asm.R0).WithSymbol(name)) // no work; R0 always holds something here
}

// arg loads an argument of the tracepoint; R1 is still the context.
func (p *program) arg(dst asm.Register, n int) {
	p.add(asm.LoadMem(dst, asm.R1, int16(8*n), asm.DWord))
}

// put stores a register into the key.
func (p *program) put(at int16, src asm.Register, size asm.Size) {
	p.add(asm.StoreMem(asm.RFP, p.key+at, src, size))
}

// copyField copies a field of what base points at into the key.
func (p *program) copyField(at int16, base asm.Register, off int16, size asm.Size) {
	p.add(asm.LoadMem(asm.R0, base, off, size))
	p.put(at, asm.R0, size)
}

// netns stores the namespace that the pointer at off of base leads to, and
// goes to none when it leads nowhere.
func (p *program) netns(at int16, base asm.Register, off int16, none string) {
	p.add(
		asm.LoadMem(asm.R2, base, off, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, none),
	)
	p.copyField(at, asm.R2, p.l.netInum, asm.Word)
}

// count ends the program: it counts the key, with the bytes in R9.
func (p *program) count() {
	p.label("count")
	p.lookup("found")
	p.add(
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.RFP, p.value+16, asm.R0, asm.DWord),
		asm.StoreMem(asm.RFP, p.value+24, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, p.value, asm.R0, asm.DWord),
		asm.StoreMem(asm.RFP, p.value+8, asm.R0, asm.DWord),
		asm.LoadMapPtr(asm.R1, p.counts),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, int32(p.key)),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, int32(p.value)),
		asm.Mov.Imm(asm.R4, 1), // BPF_NOEXIST: another processor may have been here meanwhile
		asm.FnMapUpdateElem.Call(),
	)
	p.lookup("found")
	p.add( // no room
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, p.value, asm.R0, asm.DWord),
		asm.LoadMapPtr(asm.R1, p.lost),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, int32(p.value)),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Ja.Label("exit"),
		asm.Mov.Reg(asm.R7, asm.R0).WithSymbol("found"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R7, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, 8),
		asm.StoreXAdd(asm.R1, asm.R9, asm.DWord),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R7, 24, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	)
}

func (p *program) lookup(found string) {
	p.add(
		asm.LoadMapPtr(asm.R1, p.counts),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, int32(p.key)),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, found),
	)
}

// drops counts kfree_skb(skb, location, reason[, socket]).
func drops(l layout, counts, lost int) asm.Instructions {
	p := newProgram(l, counts, lost, dropKeySize)
	p.arg(asm.R6, 0)
	p.arg(asm.R7, 1)
	p.arg(asm.R8, 2)
	if l.dropArgs > 3 {
		p.arg(asm.R9, 3)
	}
	p.put(0, asm.R7, asm.DWord)
	p.put(8, asm.R8, asm.Word)
	p.copyField(20, asm.R6, l.skbProtocol, asm.Half)
	p.add(asm.LoadMem(asm.R1, asm.R6, l.skbDev, asm.DWord), asm.JEq.Imm(asm.R1, 0, "socket"))
	p.copyField(16, asm.R1, l.devIndex, asm.Word)
	p.copyField(24, asm.R1, l.devName, asm.DWord)
	p.copyField(32, asm.R1, l.devName+8, asm.DWord)
	p.netns(12, asm.R1, l.devNet, "length")
	p.add(asm.Ja.Label("length"))
	p.label("socket") // TCP clears the device early
	p.add(asm.LoadMem(asm.R1, asm.R6, l.skbSk, asm.DWord), asm.JEq.Imm(asm.R1, 0, "receiver"))
	p.netns(12, asm.R1, l.skNet, "length")
	p.add(asm.Ja.Label("length"))
	p.label("receiver")
	if l.dropArgs > 3 {
		p.add(asm.JEq.Imm(asm.R9, 0, "length"))
		p.netns(12, asm.R9, l.skNet, "length")
	}
	p.label("length")
	p.add(asm.LoadMem(asm.R9, asm.R6, l.skbLen, asm.Word))
	p.count()
	return p.ins
}

// socket writes what a socket knows of its flow into the key of a flow.
func (p *program) socket(sk asm.Register) {
	l := p.l
	p.netns(0, sk, l.skNet, "port")
	p.label("port")
	p.copyField(6, sk, l.skState, asm.Byte)
	p.copyField(8, sk, l.skPort, asm.Half)
	p.copyField(10, sk, l.skDport, asm.Half)
	p.add(asm.LoadMem(asm.R3, sk, l.skFamily, asm.Half))
	p.put(4, asm.R3, asm.Half)
	p.add(asm.JEq.Imm(asm.R3, familyINET6, "inet6"), asm.JNE.Imm(asm.R3, familyINET, "count"))
	p.copyField(16, sk, l.skSrc, asm.Word)
	p.copyField(32, sk, l.skDst, asm.Word)
	p.add(asm.Ja.Label("count"))
	p.label("inet6")
	for i := int16(0); i < 16; i += 4 {
		p.copyField(16+i, sk, l.skSrc6+i, asm.Word)
		p.copyField(32+i, sk, l.skDst6+i, asm.Word)
	}
}

// retransmits counts tcp_retransmit_skb(socket, skb, …).
func retransmits(l layout, counts, lost int) asm.Instructions {
	p := newProgram(l, counts, lost, flowKeySize)
	p.arg(asm.R6, 0)
	p.arg(asm.R7, 1)
	p.add(asm.Mov.Imm(asm.R9, 0), asm.JEq.Imm(asm.R7, 0, "flow"), asm.LoadMem(asm.R9, asm.R7, l.skbLen, asm.Word))
	p.label("flow")
	p.add(asm.JEq.Imm(asm.R6, 0, "count"))
	p.socket(asm.R6)
	p.count()
	return p.ins
}

// resetsReceived counts tcp_receive_reset(socket).
func resetsReceived(l layout, counts, lost int) asm.Instructions {
	p := newProgram(l, counts, lost, flowKeySize)
	p.arg(asm.R6, 0)
	p.add(asm.Mov.Imm(asm.R9, 0), asm.Mov.Imm(asm.R2, directionReceived))
	p.put(7, asm.R2, asm.Byte)
	p.add(asm.JEq.Imm(asm.R6, 0, "count"))
	p.socket(asm.R6)
	p.count()
	return p.ins
}

// resetsSent counts tcp_send_reset(socket, skb[, reason]). Where nobody
// listens there is no socket, and the packet that is answered tells the flow.
func resetsSent(l layout, counts, lost int) asm.Instructions {
	p := newProgram(l, counts, lost, flowKeySize)
	p.arg(asm.R6, 0)
	p.arg(asm.R7, 1)
	if l.resetArgs > 2 {
		p.arg(asm.R8, 2)
		p.put(12, asm.R8, asm.Word)
	}
	p.add(asm.Mov.Imm(asm.R9, 0), asm.Mov.Imm(asm.R2, directionSent))
	p.put(7, asm.R2, asm.Byte)
	p.add(asm.JEq.Imm(asm.R6, 0, "packet"))
	p.socket(asm.R6)
	p.add(asm.Ja.Label("count"))
	p.label("packet")
	p.add(asm.JEq.Imm(asm.R7, 0, "count"))
	p.packet(asm.R7)
	p.count()
	return p.ins
}

// packet writes the flow of the answer to a packet into the key.
func (p *program) packet(skb asm.Register) {
	l := p.l
	p.add(asm.LoadMem(asm.R1, skb, l.skbDev, asm.DWord), asm.JEq.Imm(asm.R1, 0, "header"))
	p.netns(0, asm.R1, l.devNet, "header")
	p.label("header")
	p.add(
		asm.LoadMem(asm.R6, skb, l.skbHead, asm.DWord),
		asm.LoadMem(asm.R1, skb, l.skbNetwork, asm.Half),
		asm.Add.Reg(asm.R6, asm.R1), // an address as a number, read with care below
		asm.LoadMem(asm.R1, skb, l.skbProtocol, asm.Half),
		asm.JEq.Imm(asm.R1, int32(swap16(0x86dd)), "header6"),
		asm.JNE.Imm(asm.R1, int32(swap16(0x0800)), "count"),
		asm.Mov.Imm(asm.R2, familyINET),
	)
	p.put(4, asm.R2, asm.Half)
	p.read(16, 16, 4) // the destination is this end
	p.read(32, 12, 4)
	p.read(6, 0, 1) // the length of the header, in words; the state stays empty
	p.add(asm.LoadMem(asm.R1, asm.RFP, p.key+6, asm.Byte), asm.And.Imm(asm.R1, 0xf), asm.LSh.Imm(asm.R1, 2), asm.Add.Reg(asm.R6, asm.R1))
	p.add(asm.Ja.Label("ports"))
	p.label("header6")
	p.add(asm.Mov.Imm(asm.R2, familyINET6))
	p.put(4, asm.R2, asm.Half)
	p.read(16, 24, 16)
	p.read(32, 8, 16)
	p.add(asm.Add.Imm(asm.R6, 40))
	p.label("ports")
	p.read(10, 0, 2)
	p.read(8, 2, 2)
	p.add(
		asm.LoadMem(asm.R1, asm.RFP, p.key+8, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
	)
	p.put(8, asm.R1, asm.Half)
	p.add(asm.Mov.Imm(asm.R1, 0))
	p.put(6, asm.R1, asm.Byte)
}

// read copies size bytes, from off of the address in R6, into the key.
func (p *program) read(at int16, off, size int32) {
	p.add(
		asm.Mov.Reg(asm.R1, asm.RFP), asm.Add.Imm(asm.R1, int32(p.key+at)),
		asm.Mov.Imm(asm.R2, size),
		asm.Mov.Reg(asm.R3, asm.R6), asm.Add.Imm(asm.R3, off),
		asm.FnProbeReadKernel.Call(),
	)
}

// states counts inet_sock_set_state(socket, old, new). Connections of one
// service are told apart by the lower of their ports, which is the service's.
func states(l layout, counts, lost int) asm.Instructions {
	p := newProgram(l, counts, lost, stateKeySize)
	p.arg(asm.R6, 0)
	p.arg(asm.R7, 1)
	p.arg(asm.R8, 2)
	p.add(asm.Mov.Imm(asm.R9, 0), asm.JEq.Imm(asm.R6, 0, "exit"))
	if l.skProtocol >= 0 {
		p.add(asm.LoadMem(asm.R1, asm.R6, l.skProtocol, asm.Half), asm.JNE.Imm(asm.R1, 6, "exit"))
	}
	p.put(6, asm.R7, asm.Byte)
	p.put(7, asm.R8, asm.Byte)
	p.netns(0, asm.R6, l.skNet, "sides")
	p.label("sides")
	p.add(
		asm.LoadMem(asm.R3, asm.R6, l.skFamily, asm.Half),
		asm.LoadMem(asm.R4, asm.R6, l.skPort, asm.Half),
		asm.LoadMem(asm.R5, asm.R6, l.skDport, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
	)
	p.put(4, asm.R3, asm.Half)
	p.add(
		asm.JEq.Imm(asm.R5, 0, "local"), // it listens
		asm.JEq.Imm(asm.R4, 0, "remote"),
		asm.JLT.Reg(asm.R4, asm.R5, "local"),
	)
	p.label("remote")
	p.side(sideRemote, asm.R5, l.skDst, l.skDst6)
	p.label("local")
	p.side(sideLocal, asm.R4, l.skSrc, l.skSrc6)
	p.count()
	return p.ins
}

func (p *program) side(side int32, port asm.Register, v4, v6 int16) {
	six := "side6-" + string(rune('0'+side))
	p.add(asm.Mov.Imm(asm.R1, side))
	p.put(10, asm.R1, asm.Byte)
	p.put(8, port, asm.Half)
	p.add(asm.JEq.Imm(asm.R3, familyINET6, six))
	p.copyField(16, asm.R6, v4, asm.Word)
	p.add(asm.Ja.Label("count"))
	p.label(six)
	for i := int16(0); i < 16; i += 4 {
		p.copyField(16+i, asm.R6, v6+i, asm.Word)
	}
	p.add(asm.Ja.Label("count"))
}
