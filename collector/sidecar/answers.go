package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// isEnvoy knows /server_info.
func isEnvoy(b []byte) bool {
	var info struct {
		Version string
		State   string
	}
	return json.Unmarshal(b, &info) == nil && info.Version != "" && info.State != ""
}

// isLinkerd knows the metrics of linkerd2-proxy.
func isLinkerd(b []byte) bool {
	return bytes.Contains(b, []byte("process_start_time_seconds")) &&
		(bytes.Contains(b, []byte("proxy_build_info")) || bytes.Contains(b, []byte("rustc_version")) || bytes.Contains(b, []byte("control_response_total")))
}

// isIstiod knows /version.
func isIstiod(b []byte) bool {
	var v struct {
		Version    string
		BuildInfo  json.RawMessage
		ServerInfo json.RawMessage
	}
	return json.Unmarshal(b, &v) == nil && v.Version != "" || bytes.HasPrefix(b, []byte("1.")) && bytes.Contains(b, []byte("-Clean"))
}

// listening reads /proc/PID/net/tcp or tcp6 and gives the ports on which
// somebody listens.
func listening(table []byte) map[uint16]bool {
	const stateListen = "0A"
	ports := map[uint16]bool{}
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 4 || f[3] != stateListen {
			continue
		}
		if _, port, ok := strings.Cut(f[1], ":"); ok {
			if n, err := strconv.ParseUint(port, 16, 16); err == nil {
				ports[uint16(n)] = true
			}
		}
	}
	return ports
}

const masked = "[REDACTED:envoy]"

var errNotJSON = errors.New("the answer is no JSON")

// secretField says whether what a field of Envoy's configuration holds is
// secret as a whole, by its name in either spelling.
func secretField(name string) bool {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "")) {
	case "privatekey", "privatekeyprovider", "sessionticketkeys", "sessionticketkeyssdssecretconfig", "genericsecret", "tokensecret", "hmacsecret",
		"password", "authtoken", "accesstoken", "refreshtoken", "apikey", "callcredentials", "channelcredentials", "clientsecret",
		"inlinebytes", "pkcs12", "authpassword", "authusername", "users":
		return true
	}
	return false
}

// mask copies one JSON value from r to w, with what secret fields hold masked,
// without ever holding it. depth and keys are bounded by the decoder's input.
func mask(w io.Writer, r io.Reader) error {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	m := masker{w: w, dec: dec}
	if err := m.value(0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", errNotJSON)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

const maxDepth = 200

type masker struct {
	w   io.Writer
	dec *json.Decoder
}

func (m masker) value(depth int) error {
	tok, err := m.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: %w", errNotJSON, err)
	}
	d, ok := tok.(json.Delim)
	if !ok {
		return m.write(tok)
	}
	if depth >= maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", errNotJSON, maxDepth)
	}
	if d == '[' {
		return m.array(depth)
	}
	return m.object(depth)
}

func (m masker) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = m.w.Write(b)
	return err
}

func (m masker) array(depth int) error {
	lead := "["
	for m.dec.More() {
		if _, err := io.WriteString(m.w, lead); err != nil {
			return err
		}
		if err := m.value(depth + 1); err != nil {
			return err
		}
		lead = ","
	}
	return m.end(lead, "[", "]")
}

func (m masker) object(depth int) error {
	lead := "{"
	for m.dec.More() {
		key, err := m.dec.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", errNotJSON, err)
		}
		if _, err := io.WriteString(m.w, lead); err != nil {
			return err
		}
		if err := m.write(key); err != nil {
			return err
		}
		if _, err := io.WriteString(m.w, ":"); err != nil {
			return err
		}
		if name, _ := key.(string); secretField(name) {
			err = masker{io.Discard, m.dec}.value(depth + 1)
			if err == nil {
				err = m.write(masked)
			}
		} else {
			err = m.value(depth + 1)
		}
		if err != nil {
			return err
		}
		lead = ","
	}
	return m.end(lead, "{", "}")
}

// end takes the closing token, and writes it, with the opening one if there
// was nothing between.
func (m masker) end(lead, open, closing string) error {
	if _, err := m.dec.Token(); err != nil {
		return fmt.Errorf("%w: %w", errNotJSON, err)
	}
	if lead == open {
		closing = open + closing
	}
	_, err := io.WriteString(m.w, closing)
	return err
}
