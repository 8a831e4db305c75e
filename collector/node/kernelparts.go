package node

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// kernelParts are the parts of the kernel that are there, built in or loaded.
// To ask one that is not would load its module, so that reading would change
// the machine.
type kernelParts map[string]bool

// partSymbols are functions that a part always has.
func partSymbols() map[string]string {
	return map[string]string{"nft_register_chain_type": "nf_tables", "ip_set_type_register": "ip_set", "xfrm_user_rcv_msg": "xfrm_user",
		"register_ip_vs_scheduler": "ip_vs", "wg_packet_receive": "wireguard", "ethnl_default_doit": "ethtool_nl"}
}

// readSymbols finds them in /proc/kallsyms: "address type name [module]".
func readSymbols(r io.Reader) (kernelParts, error) {
	parts, symbols := kernelParts{}, partSymbols()
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if f := bytes.Fields(line); len(f) >= 3 {
			if part, ok := symbols[string(f[2])]; ok {
				parts[part] = true
			}
		}
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return parts, err
		}
	}
}

// readModules finds them in /proc/modules, for a kernel without symbols.
func (k kernelParts) readModules(text []byte) {
	for line := range bytes.Lines(text) {
		name, _, _ := strings.Cut(string(line), " ")
		for _, part := range partSymbols() {
			if part == name {
				k[part] = true
			}
		}
	}
}
