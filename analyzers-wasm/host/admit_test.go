package host

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestAdmit: who must not run does not, before or after it has said what it
// is, and what others own is theirs wherever they stand in the list.
func TestAdmit(t *testing.T) {
	asked := ""
	module := func(name, rule string) Module {
		d := declares(name, func(d *abi.Declaration) { d.Rules[0].ID = rule })
		return Module{Name: name, Wasm: spec{declare: d, print: `{"rule":"` + rule + `","outcome":"clear"}` + "\n"}.bytes()}
	}
	refused, turned, admitted, thief, owner := module("refused", "a/b"), module("turned", "c/d"), module("admitted", "e/f"), module("thief", "own/y"), module("owner", "own/x")
	refused.Signer, refused.Refuse, refused.Admit = "SHA256:x", "not signed", func(abi.Declaration) error { t.Error("it was run"); return nil }
	turned.Admit = func(d abi.Declaration) error { return errors.New(d.Name + " may not ship " + d.Rules[0].ID) }
	admitted.Admit = func(d abi.Declaration) error { asked = d.Name; return nil }
	owner.OwnsTopics = true
	runs := Run(context.Background(), []Module{refused, turned, admitted, thief, owner}, testOptions(t))
	for i, want := range []string{"not signed", "turned may not ship c/d", "", "the topic own is that of module owner", ""} {
		r := runs[i]
		if want == "" {
			if r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 {
				t.Errorf("%+v", r.Result)
			}
			continue
		}
		if r.Result.Status != abi.ModuleRefused || !strings.Contains(r.Result.Reason, want) || len(r.Outcomes) != 0 || i == 0 && r.Result.Signer != "SHA256:x" {
			t.Errorf("%+v, %d outcomes", r.Result, len(r.Outcomes))
		}
	}
	if asked != "admitted" {
		t.Errorf("asked about %q", asked)
	}
}

// TestOwnMemory: a module's own bound counts when it is the lower one.
func TestOwnMemory(t *testing.T) {
	for own, want := range map[int]string{0: abi.ModuleOK, 16: abi.ModuleOK, 1: abi.ModuleRefused, 4096: abi.ModuleOK} {
		m := Module{Name: "m", Wasm: spec{declare: declares("m"), pages: 32, print: `{"rule":"m/rule","outcome":"clear"}` + "\n"}.bytes(), MemoryMiB: own}
		if r := Run(context.Background(), []Module{m}, testOptions(t))[0].Result; r.Status != want {
			t.Errorf("%d MiB: %s: %s", own, r.Status, r.Reason)
		}
	}
}

// TestOwnFuel: as above, for the steps of a run.
func TestOwnFuel(t *testing.T) {
	m := Module{Name: "m", Wasm: spec{declare: declares("m"), analyze: repeat(cat(i32(1), opDrop), 2000), print: `{"rule":"m/rule","outcome":"clear"}` + "\n"}.bytes()}
	full := Run(context.Background(), []Module{m}, testOptions(t))[0].Result
	if full.Status != abi.ModuleOK || full.Fuel < 2000 {
		t.Fatalf("%+v", full)
	}
	m.Fuel = full.Fuel / 2
	if r := Run(context.Background(), []Module{m}, testOptions(t))[0].Result; r.Status != abi.ModuleFuel || !strings.Contains(r.Reason, "the bound of this module") {
		t.Errorf("%+v", r)
	}
	m.Fuel = full.Fuel * 2
	if r := Run(context.Background(), []Module{m}, testOptions(t))[0].Result; r.Status != abi.ModuleOK || r.Fuel != full.Fuel {
		t.Errorf("%+v", r)
	}
}
