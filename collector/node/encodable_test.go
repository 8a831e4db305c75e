package node

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// encodable fails for what JSON cannot hold, or a line cannot.
func encodable(t *testing.T, row any) {
	t.Helper()
	b, err := json.Marshal(row)
	if err != nil || bytes.ContainsRune(b, '\n') || !utf8.Valid(b) {
		t.Errorf("%q: %v", b, err)
	}
}
