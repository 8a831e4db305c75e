package input

import (
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// CEL counts what a call took once it is over. Functions that may take, or
// make, far more than they are given are bound anew here and look first.

const (
	maxMade     = 1 << 20 // bytes of a text that a call makes
	maxSplit    = 100_000 // parts of one
	whereMatch  = "@matches"
	whereFormat = "format"
)

// calls gives the options that bind them.
func (w *where) calls() []cel.EnvOption {
	text, texts := cel.StringType, cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Macros(
			cel.ReceiverMacro("matches", 1, func(f cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
				return w.matchCall(f, target, args[0])
			}),
			cel.GlobalMacro("matches", 2, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
				return w.matchCall(f, args[0], args[1])
			}),
			cel.ReceiverMacro(whereFormat, 1, func(f cel.MacroExprFactory, target ast.Expr, _ []ast.Expr) (ast.Expr, *common.Error) {
				return nil, f.NewError(target.ID(), "format is not offered here")
			})),
		cel.Function(whereMatch, cel.Overload("where_matches", []*cel.Type{text, text}, cel.BoolType, cel.BinaryBinding(w.match))),
		cel.Function("replace",
			cel.MemberOverload("string_replace_string_string", []*cel.Type{text, text, text}, text, cel.FunctionBinding(replace)),
			cel.MemberOverload("string_replace_string_string_int", []*cel.Type{text, text, text, cel.IntType}, text, cel.FunctionBinding(replace))),
		cel.Function("split",
			cel.MemberOverload("string_split_string", []*cel.Type{text, text}, texts, cel.FunctionBinding(split)),
			cel.MemberOverload("string_split_string_int", []*cel.Type{text, text, cel.IntType}, texts, cel.FunctionBinding(split))),
		cel.Function("join",
			cel.MemberOverload("list_join", []*cel.Type{texts}, text, cel.UnaryBinding(func(list ref.Val) ref.Val { return join(list, types.String("")) })),
			cel.MemberOverload("list_join_string", []*cel.Type{texts, text}, text, cel.BinaryBinding(join))),
	}
}

// matchCall compiles the expression of a call of matches, which must stand
// there: one that rows make could have any size.
func (w *where) matchCall(f cel.MacroExprFactory, text, expr ast.Expr) (ast.Expr, *common.Error) {
	if expr.Kind() != ast.LiteralKind {
		return nil, f.NewError(expr.ID(), "what matches looks for must be a text in quotes")
	}
	s, ok := expr.AsLiteral().(types.String)
	if !ok {
		return nil, f.NewError(expr.ID(), "what matches looks for must be a text in quotes")
	}
	m, err := compileMatch(string(s))
	if err != nil {
		return nil, f.NewError(expr.ID(), err.Error())
	}
	w.matchers[string(s)] = m
	return f.NewCall(whereMatch, text, expr), nil
}

func (w *where) match(text, expr ref.Val) ref.Val {
	m, s := w.matchers[textArg(expr)], textArg(text)
	if m.cost(len(s)) > maxRowCost {
		return tooMuch()
	}
	return types.Bool(m.re.MatchString(s))
}

// CallCost says what a match took, and a sum of texts, whose types CEL cannot
// know here; the rest it counts itself.
func (w *where) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	n := uint64(1)
	switch function {
	case whereMatch:
		n += w.matchers[textArg(args[1])].cost(len(textArg(args[0])))
	case operators.Add:
		n += uint64(len(textArg(result))) / 10
	default:
		return nil
	}
	return &n
}

// matchEstimate is the same for texts of which nothing is known.
func matchEstimate(function string) *cost.CallEstimate {
	if function != whereMatch {
		return nil
	}
	return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: 1 + guessedSize*maxMatchProgram/stepsOfMatch}}
}

// textArg is an argument that was checked to be a text.
func textArg(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// limitArg is how many times at most; -1 is no limit.
func limitArg(args []ref.Val, at int) int {
	if len(args) <= at {
		return -1
	}
	n, _ := args[at].(types.Int)
	return int(min(max(n, -1), maxMade))
}

func replace(args ...ref.Val) ref.Val {
	s, old, by := textArg(args[0]), textArg(args[1]), textArg(args[2])
	if len(s)+strings.Count(s, old)*len(by) > maxMade {
		return tooMuch()
	}
	return types.String(strings.Replace(s, old, by, limitArg(args, 3)))
}

func split(args ...ref.Val) ref.Val {
	s, by := textArg(args[0]), textArg(args[1])
	if strings.Count(s, by) > maxSplit {
		return tooMuch()
	}
	return types.DefaultTypeAdapter.NativeToValue(strings.SplitN(s, by, limitArg(args, 2)))
}

func join(list, by ref.Val) ref.Val {
	texts, ok := list.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(list)
	}
	var b strings.Builder
	for i, it := 0, texts.Iterator(); it.HasNext() == types.True; i++ {
		s, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("join takes texts alone")
		}
		if i > 0 {
			b.WriteString(textArg(by))
		}
		if b.WriteString(string(s)); b.Len() > maxMade {
			return tooMuch()
		}
	}
	return types.String(b.String())
}
