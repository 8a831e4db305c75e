package host

import "testing"

// TestRealModules: the bounds leave room for what real programs have at most,
// each figure that of its worst function.
func TestRealModules(t *testing.T) {
	for name, s := range map[string]shape{
		"built-in rules, Go":  {size: 29_238, locals: 21, blocks: 1286, nesting: 549, loops: 1, targets: 964, depths: 233_792},
		"go vet, Go, 14 MB":   {size: 78_829, locals: 21, blocks: 2659, nesting: 1152, loops: 1, targets: 1642, depths: 1_002_756},
		"esbuild, Go, 12 MB":  {size: 199_780, locals: 14, blocks: 7112, nesting: 3289, loops: 1, targets: 5490, depths: 7_732_688},
		"swc, Rust, 20 MB":    {size: 55_561, locals: 246, blocks: 3430, nesting: 253, loops: 8, targets: 353, depths: 192_583},
		"swc, another":        {size: 55_749, locals: 538, blocks: 1500, nesting: 329, loops: 12, targets: 646, depths: 192_583},
		"sqlite, C":           {size: 34_713, locals: 57, blocks: 2141, nesting: 291, loops: 8, targets: 358, depths: 77_059},
		"serde_json, Rust":    {size: 7046, locals: 21, blocks: 331, nesting: 41, loops: 4, targets: 50, depths: 1364},
		"a pod scanner, in C": {size: 8665, locals: 43, blocks: 552, nesting: 31, loops: 4, targets: 64, depths: 3460},
	} {
		if err := s.check(0); err != nil || s.size > maxBody {
			t.Errorf("%s: %v", name, err)
		}
	}
}
