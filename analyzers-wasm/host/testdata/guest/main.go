// Command guest is the innocent module of the sandbox's tests: it shows what a
// module sees, and cites it.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

func main() {
	var err error
	switch os.Args[1] {
	case abi.VerbDescribe:
		err = describe()
	case abi.VerbAnalyze:
		err = analyze()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func describe() error {
	text := map[string]abi.Text{"en": {Title: "{name} restarts", Message: "{restarts} restarts"}}
	d := abi.Declaration{ABI: [2]int{1, 1}, Name: "guest", Version: "1.2.3"}
	for _, id := range []string{"test/restarts", "test/overflow", "test/world", "test/silent", "test/clear", "test/empty"} {
		d.Rules = append(d.Rules, abi.Rule{ID: id, Severity: abi.SeverityHigh, Layer: abi.LayerWorkload, Text: text})
	}
	d.Inputs = []abi.Input{
		{Name: "pods", Resource: "v1/pods", Fields: []string{"metadata.{namespace,name}", "status.containerStatuses[].restartCount"}},
		{Name: "counters", Counters: []string{"TcpExt.ListenOverflows"}},
		{Name: "raw", Files: "nodes/*/*/proc/net/netstat"},
		{Name: "captures", Files: "captures/**"},
	}
	return json.NewEncoder(os.Stdout).Encode(d)
}

type pod struct {
	At       int64 `json:"_at"`
	Metadata struct {
		Namespace, Name string
	}
	Status struct{ ContainerStatuses []struct{ RestartCount int } }
}

func analyze() error {
	out := json.NewEncoder(os.Stdout)
	err := rows("pods", func(p pod) error {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 3 {
				return out.Encode(abi.Finding{Rule: "test/restarts", Subject: abi.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name},
					Params: map[string]any{"restarts": c.RestartCount, "name": p.Metadata.Name}, Evidence: []abi.Evidence{{At: p.At}}})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = rows("counters", func(c abi.Counter) error {
		return out.Encode(abi.Finding{Rule: "test/overflow", Subject: abi.Subject{Kind: "Node", Name: c.Node}, Evidence: []abi.Evidence{
			{At: c.At}, {Path: "nodes/n1/0/proc/net/netstat", Line: 1}, {Path: "captures/c/n1__eth0.pcapng", Packet: 2}, {Path: "captures/c/capture.json"}}})
	})
	if err != nil {
		return err
	}
	if err := world(out); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "done\x1b[31m")
	return out.Encode(abi.Outcome{Rule: "test/clear", Outcome: abi.OutcomeClear})
}

func rows[T any](name string, f func(T) error) error {
	file, err := os.Open("/in/" + name + ".ndjson")
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() {
		var row T
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return s.Err()
}

// world reports all that could tell one run from another.
func world(out *json.Encoder) error {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	start := time.Now()
	time.Sleep(time.Hour)
	var files []string
	err := fs.WalkDir(os.DirFS("/"), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	config, err := os.ReadFile("/config.json")
	if err != nil {
		return err
	}
	_, outside := os.ReadFile("/../etc/passwd")
	writing := os.WriteFile("/in/x", nil, 0o600)
	return out.Encode(abi.Finding{Rule: "test/world", Subject: abi.Subject{Kind: "Module", Name: os.Args[0]}, Params: map[string]any{
		"files": strings.Join(files, " "), "config": strings.TrimSpace(string(config)), "random": fmt.Sprintf("%x", random),
		"time": start.UTC().Format(time.RFC3339), "slept": time.Since(start) >= time.Hour, "env": len(os.Environ()),
		"outside": outside != nil, "readonly": writing != nil, "big": int64(9007199254740993),
	}})
}
