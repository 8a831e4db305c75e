package review

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed review.html.tmpl
var page string

// HTML writes the review as one page that loads nothing from anywhere.
func (r *Review) HTML(w io.Writer) error {
	t, err := template.New("review").Funcs(template.FuncMap{"bytes": Bytes, "counts": Counts, "plain": plain,
		"total": func(l NameList) int { return len(l.Names) + l.More }}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}
