package eval

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"github.com/vggse/vggse-agent/dataset"
)

//go:embed report.html.tmpl
var page string

//go:embed report.css
var style string

// thumbnailWidth is that of the pictures on the page.
const thumbnailWidth = 240

// WriteHTML writes the evaluation as one page that needs nothing else: small copies of the surest
// mistakes are inside. A picture that cannot be read any more is left out.
func WriteHTML(w io.Writer, e *Evaluation) error {
	t, err := template.New("report").Funcs(PageFuncs()).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, e)
}

// PageFuncs are what the pages of reports share: style, and how numbers and pictures are shown.
func PageFuncs() template.FuncMap {
	return template.FuncMap{
		"style":    func() template.CSS { return template.CSS(style) },
		"percent":  func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
		"interval": func(s Share) string { return fmt.Sprintf("%.2f–%.2f %%", 100*s.Low, 100*s.High) },
		"width":    func(v float64) string { return fmt.Sprintf("%.1f", 100*v) },
		"picture": func(path string) template.URL {
			small, err := dataset.Thumbnail(path, thumbnailWidth)
			if err != nil {
				return ""
			}
			return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(small))
		},
	}
}
