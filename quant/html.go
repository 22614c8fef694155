package quant

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed report.html.tmpl
var page string

// WriteHTML writes the report as one page that needs nothing else.
func WriteHTML(w io.Writer, r *Report) error {
	t, err := template.New("report").Funcs(functions).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}
