package host

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
)

// Frames on the pipes between parent and child: a type, a length, a payload.
const (
	frameSetup   = 'S' // parent: setup
	frameCommand = 'C' // parent: command
	frameReady   = 'R' // child: limits are in force; ready
	frameStdout  = 'O' // child: bytes that the module printed
	frameStderr  = 'L'
	frameDone    = 'D' // child: ending of the command
)

const (
	frameHead = 5
	maxFrame  = 256 << 10
)

const verbPrepare = "prepare"

// setup is the first frame to a child. Spool is a file descriptor, or a handle
// on Windows, that it has inherited.
type setup struct {
	Spool      uintptr `json:"spool"`
	Scratch    string  `json:"scratch"` // folder of the module and compiled code, the child's alone
	Warm       bool    `json:"warm"`    // an earlier child has compiled the module
	MemoryMiB  int     `json:"memoryMiB"`
	CPUSeconds uint64  `json:"cpuSeconds"`
}

// ready is the child's answer: the bounds that are not in force.
type ready struct {
	Lacks []string `json:"lacks,omitempty"`
}

// command is a phase for the child to run.
type command struct {
	Verb      string       `json:"verb"`
	Name      string       `json:"name,omitempty"` // argv[0]
	MemoryMiB int          `json:"memoryMiB,omitempty"`
	Fuel      int64        `json:"fuel,omitempty"`
	Clock     int64        `json:"clock,omitempty"` // nanoseconds since 1970
	Seed      []byte       `json:"seed,omitempty"`
	Files     input.Extent `json:"files,omitzero"` // where the list of virtual files lies in the spool
}

// ending is how a phase went: a status of the ABI and the reason.
type ending struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	Fuel   int64  `json:"fuel,omitempty"` // used
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	for {
		part := payload[:min(len(payload), maxFrame)]
		frame := make([]byte, frameHead, frameHead+len(part))
		frame[0] = kind
		binary.BigEndian.PutUint32(frame[1:], uint32(len(part)))
		if _, err := w.Write(append(frame, part...)); err != nil {
			return err
		}
		if payload = payload[len(part):]; len(payload) == 0 {
			return nil
		}
	}
}

func writeJSON(w io.Writer, kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(payload) > maxFrame {
		return errors.New("frame too long")
	}
	return writeFrame(w, kind, payload)
}

// readFrame reads one frame into buf, which grows up to maxFrame.
func readFrame(r io.Reader, buf *[]byte) (kind byte, payload []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	if cap(*buf) < int(n) {
		*buf = make([]byte, n)
	}
	payload = (*buf)[:n]
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}
