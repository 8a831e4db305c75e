package cases

import (
	"bytes"
	"testing"
)

const archive = "A case.\n-- a.json --\n{}\n-- b.base64 --\naGk=\n-- want --\nclear t/r\n"

func TestUpdate(t *testing.T) {
	c, err := Parse([]byte(archive))
	if err != nil || c.Want != "clear t/r\n" || string(c.Bundle["b"].Data) != "hi" {
		t.Fatalf("%+v, %v", c, err)
	}
	if same := c.Update(c.Want); string(same) != archive {
		t.Errorf("written with its own want: %q", same)
	}
	c, err = Parse(c.Update("found t/r\n"))
	if err != nil || c.Want != "found t/r\n" || len(c.Bundle) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Parse([]byte(archive + "-- more --\n")); err == nil {
		t.Error("a section behind want would be lost by an update")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(archive))
	f.Add([]byte("-- a --\nx\n-- b --"))
	f.Add([]byte("-- want --"))
	f.Add([]byte("x\n -- want -- \ny\n"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		for name, data := range sections(archive) {
			if name == "" || len(data) > len(archive) {
				t.Errorf("%q with %d bytes", name, len(data))
			}
		}
		c, err := Parse(archive)
		if err != nil {
			return
		}
		const got = "found t/r\n"
		again, err := Parse(c.Update(got))
		if err != nil || again.Want != got || len(again.Bundle) != len(c.Bundle) || !bytes.Equal(again.Config, c.Config) {
			t.Errorf("%q became %q: %v", archive, c.Update(got), err)
		}
	})
}
