package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/cmd/casefile/scaffold"
)

// step is a command of a transcript and what it is shown to print.
type step struct {
	command string
	shown   []string
}

// fences gives the fenced blocks of a text, by their language.
func fences(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	return blocks
}

func transcript(block string) (steps []step) {
	for line := range strings.Lines(block) {
		line = strings.TrimRight(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{command: command})
		} else if n := len(steps); n > 0 {
			steps[n-1].shown = append(steps[n-1].shown, line)
		}
	}
	return steps
}

// shows says whether the lines are those printed: … is any text, and alone on
// a line any number of lines.
func shows(shown []string, printed string) bool {
	var expr strings.Builder
	for _, line := range shown {
		if line == "…" {
			expr.WriteString(`(?:.*\n)*?`)
			continue
		}
		expr.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + ` *\n`)
	}
	return regexp.MustCompile(`^` + expr.String() + `$`).MatchString(printed)
}

// TestModuleReadme types what sdk/README.md shows into an empty folder, with no
// network and no module of Go but those that the binary brings, and holds what
// is printed against what it shows.
func TestModuleReadme(t *testing.T) {
	blocks := fences(t, "../../sdk/README.md")
	if len(blocks["console"]) != 1 {
		t.Fatalf("%d transcripts", len(blocks["console"]))
	}
	steps := transcript(blocks["console"][0])
	if n := len(steps); n < 8 || n >= 15 {
		t.Fatalf("%d commands: want less than 15", n)
	}
	const mark = "=== ended "
	var script strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&script, "%s\necho \"%s$?\"\n", s.command, mark)
	}
	dir, modules := t.TempDir(), t.TempDir()
	cmd := exec.Command("sh")
	cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(script.String()), readmeEnv(t, build(t), modules)
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	parts := strings.Split(string(printed), mark)
	if len(parts) != len(steps)+1 {
		t.Fatalf("%d of %d commands ended:\n%s", len(parts)-1, len(steps), printed)
	}
	for i, s := range steps {
		out := parts[i]
		if i > 0 {
			_, out, _ = strings.Cut(out, "\n") // the status of the last
		}
		if status, _, _ := strings.Cut(parts[i+1], "\n"); status != "0" {
			t.Fatalf("$ %s\nended with %s:\n%s", s.command, status, out)
		}
		if !shows(s.shown, out) {
			t.Errorf("$ %s\nprinted:\n%s\nand is shown to print:\n%s", s.command, out, strings.Join(s.shown, "\n"))
		}
	}
	if fetched, _ := os.ReadDir(modules); len(fetched) > 0 {
		t.Errorf("modules were fetched: %v", fetched)
	}
}

// readmeEnv is that of a user who has the binary, a compiler and a shell.
func readmeEnv(t *testing.T, bin, modules string) []string {
	t.Helper()
	home := t.TempDir()
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "PATH=" + filepath.Dir(bin) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOMODCACHE=" + modules, "GOCACHE=" + goEnv(t, "GOCACHE")}
	if dir := os.Getenv("TMPDIR"); dir != "" {
		env = append(env, "TMPDIR="+dir)
	}
	return env
}

// TestModuleReadmeCode: the code and the case that sdk/README.md shows are
// those that a new module has, and each language is named.
func TestModuleReadmeCode(t *testing.T) {
	files, err := scaffold.Files("go", "acme-queues", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fences(t, "../../sdk/README.md")
	for lang, file := range map[string]string{"go": "main.go", "": "testdata/found.txtar"} {
		if len(blocks[lang]) == 0 {
			t.Errorf("nothing of %s is shown", file)
		}
		for _, block := range blocks[lang] {
			if !strings.Contains(string(files[file]), block) {
				t.Errorf("%s does not have:\n%s", file, block)
			}
		}
	}
	text, err := os.ReadFile("../../sdk/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range scaffold.Languages()[1:] {
		if !strings.Contains(string(text), "casefile module new acme-queues --lang "+lang+"`") {
			t.Errorf("does not say how to begin in %s", lang)
		}
	}
}
