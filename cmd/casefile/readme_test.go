package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme holds what both READMEs show of the demo against the demo.
func TestReadme(t *testing.T) {
	bin := build(t)
	out, err := exec.Command(bin, "demo", "-o", filepath.Join(t.TempDir(), "demo.tar.zst")).Output()
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		printed[strings.TrimRight(line, " ")] = true
	}
	for _, name := range []string{"README.md", "README.zh.md"} {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(text), "```\n")
		if len(parts) != 3 {
			t.Fatalf("%s: want one block of output, have %d", name, len(parts)/2)
		}
		for _, line := range strings.Split(parts[1], "\n") {
			if !printed[line] {
				t.Errorf("%s shows what the demo does not print: %q", name, line)
			}
		}
	}
}
