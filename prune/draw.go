package prune

import (
	"fmt"
	"html/template"
)

// functions are what the page computes.
var functions = template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"points":  func(v float64) string { return fmt.Sprintf("%.2f", 100*v) },
	"fixed":   func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
	"mb":      func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/1e6) },
	"million": func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) },
	"times":   func(a, b int64) string { return fmt.Sprintf("%.2f×", float64(a)/float64(b)) },
	"share":   func(a, b int) string { return fmt.Sprintf("%.1f", 100*float64(a)/float64(b)) },
	"signed":  func(v float64) string { return fmt.Sprintf("%+.2f", 0-100*v) },
}
