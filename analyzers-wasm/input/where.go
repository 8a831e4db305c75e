package input

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Bounds of a where, in CEL's own units: about one for a step, and one for ten
// bytes of text that are looked at.
const (
	maxWhere     = 2048
	maxWhereCost = 10_000_000 // estimated, for rows of the sizes below
	maxRowCost   = 1_000_000  // for a row, as it comes
	maxRowScan   = 64 << 20   // bytes looked through for a row
	guessedSize  = 200        // of a list, map or text that the estimate knows nothing of
	whereDepth   = 40
)

// rowNames are the names of the source row.
func rowNames() []string { return []string{"row", "object", "self"} }

// where says of a row whether an input takes it. It is safe for use by several
// goroutines.
type where struct {
	program  cel.Program
	reads    *fields // what it looks at, as far as that is known beforehand
	matchers map[string]*matcher
}

// compileWhere reads a CEL expression over a row. Errors name the place.
func compileWhere(expr string) (*where, error) {
	if len(expr) > maxWhere {
		return nil, fmt.Errorf("where has more than %d bytes", maxWhere)
	}
	w := &where{reads: &fields{}, matchers: map[string]*matcher{}}
	opts := append([]cel.EnvOption{ext.Strings(ext.StringsVersion(2)), cel.OptionalTypes(), cel.ParserRecursionLimit(whereDepth)}, w.calls()...)
	for _, name := range rowNames() {
		opts = append(opts, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	parsed, issues := env.Parse(expr)
	if err := located(issues); err != nil {
		return nil, err
	}
	names := &nameFinder{known: map[string]bool{}, reads: w.reads}
	for _, v := range env.Variables() {
		names.known[v.Name()] = true
	}
	names.walk(parsed.NativeRep().Expr(), map[string]int{})
	var bare []cel.EnvOption
	for _, name := range names.bare {
		bare = append(bare, cel.Variable(name, cel.DynType))
	}
	if env, err = env.Extend(bare...); err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	checked, issues := env.Check(parsed)
	if err := located(issues); err != nil {
		return nil, err
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("where gives %s, want bool", t)
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	if estimate.Max > maxWhereCost {
		return nil, fmt.Errorf("where may cost %d steps a row, more than %d; nest fewer comprehensions", estimate.Max, maxWhereCost)
	}
	if w.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(w), cel.CostLimit(maxRowCost)); err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	return w, nil
}

// located tells the first issue and its place.
func located(issues *cel.Issues) error {
	if issues == nil || issues.Err() == nil {
		return nil
	}
	for _, e := range issues.Errors() {
		return fmt.Errorf("where at %d:%d: %s", e.Location.Line(), e.Location.Column()+1, shorten(firstLine(e.Message)))
	}
	return fmt.Errorf("where: %w", issues.Err())
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// sizes guesses for the estimate: the rows' own types are not known.
type sizes struct{}

func (sizes) EstimateSize(cost.AstNode) *cost.SizeEstimate {
	return &cost.SizeEstimate{Max: guessedSize}
}

func (sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return matchEstimate(function)
}

// nameFinder collects which keys of the row an expression names: those that
// stand bare, and the paths that it looks at.
type nameFinder struct {
	known map[string]bool
	bare  []string
	reads *fields
}

// walk goes through an expression; bound counts the variables of comprehensions.
func (n *nameFinder) walk(e ast.Expr, bound map[string]int) {
	if n.path(e, bound) != nil {
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		n.walk(e.AsSelect().Operand(), bound)
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			n.walk(c.Target(), bound)
		}
		for _, arg := range c.Args() {
			n.walk(arg, bound)
		}
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			n.walk(x, bound)
		}
	case ast.MapKind:
		for _, x := range e.AsMap().Entries() {
			n.walk(x.AsMapEntry().Key(), bound)
			n.walk(x.AsMapEntry().Value(), bound)
		}
	case ast.StructKind:
		for _, x := range e.AsStruct().Fields() {
			n.walk(x.AsStructField().Value(), bound)
		}
	case ast.ComprehensionKind:
		n.comprehension(e.AsComprehension(), bound)
	}
}

func (n *nameFinder) comprehension(c ast.ComprehensionExpr, bound map[string]int) {
	n.walk(c.IterRange(), bound)
	n.walk(c.AccuInit(), bound)
	names := []string{c.IterVar(), c.AccuVar()}
	if c.HasIterVar2() {
		names = append(names, c.IterVar2())
	}
	for _, name := range names {
		bound[name]++
	}
	n.walk(c.LoopCondition(), bound)
	n.walk(c.LoopStep(), bound)
	n.walk(c.Result(), bound)
	for _, name := range names {
		bound[name]--
	}
}

// path takes in a chain of keys from the row on, and gives where it ends; nil
// if the expression is something else.
func (n *nameFinder) path(e ast.Expr, bound map[string]int) *fields {
	switch e.Kind() {
	case ast.IdentKind:
		return n.root(e.AsIdent(), bound)
	case ast.SelectKind:
		if f := n.path(e.AsSelect().Operand(), bound); f != nil {
			return n.below(f, e.AsSelect().FieldName())
		}
	case ast.CallKind:
		c := e.AsCall()
		if name := c.FunctionName(); name != "_[_]" && name != "_?._" && name != "_[?_]" || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		key, ok := c.Args()[1].AsLiteral().(types.String)
		if !ok {
			return nil
		}
		if f := n.path(c.Args()[0], bound); f != nil {
			return n.below(f, string(key))
		}
	}
	return nil
}

func (n *nameFinder) root(name string, bound map[string]int) *fields {
	if bound[name] > 0 {
		return nil
	}
	for _, row := range rowNames() {
		if name == row {
			return n.reads
		}
	}
	if n.known[name] {
		return nil
	}
	n.known[name] = true
	n.bare = append(n.bare, name)
	return n.below(n.reads, name)
}

func (n *nameFinder) below(f *fields, key string) *fields {
	if key == "" {
		return f
	}
	return f.child(key)
}

var (
	errNotBool = errors.New("it gives no bool")
	errTooMuch = errors.New("the row is too large for what where asks of it")
)

// test evaluates the expression over a row. cost is what that took.
func (w *where) test(d *document, s *shape, org origin) (pass bool, cost uint64, err error) {
	left := maxRowScan
	a := &rowActivation{row: object{value: jsonValue{d: d, shape: s, at: d.root, left: &left}, origin: &org}}
	out, details, err := w.program.Eval(a)
	if details != nil {
		if c := details.ActualCost(); c != nil {
			cost = *c
		}
	}
	cost += uint64(maxRowScan-left) / 16
	if left < 0 {
		return false, cost, errTooMuch
	}
	if err != nil {
		return false, cost, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, cost, errNotBool
	}
	return bool(b), cost, nil
}
