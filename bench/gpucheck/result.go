package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// States of a check.
const (
	passed  = "pass"
	failed  = "FAIL"
	skipped = "not run"
)

// report is what gpucheck found: the JSON file as it is, the table from it.
type report struct {
	Schema  string    `json:"schema"` // vggse.gpu-check/1
	Time    time.Time `json:"time"`
	Machine machine   `json:"machine"`
	Checks  []result  `json:"checks"`
	Speeds  []speed   `json:"speeds"`
}

// result is one check. Found says what was measured, or why it failed or could not run.
type result struct {
	Part    string  `json:"part"` // always, tensorrt or rtx
	Check   string  `json:"check"`
	State   string  `json:"state"`
	Found   string  `json:"found"`
	Seconds float64 `json:"seconds"`
}

// speed is one line of 'vggse-agent bench'.
type speed struct {
	Network   string  `json:"network"` // demo or full
	Provider  string  `json:"provider"`
	Precision string  `json:"precision"`
	Batch     int     `json:"batch"`
	P50       float64 `json:"p50_ms"` // of one run, which is one batch
	P99       float64 `json:"p99_ms"`
	Images    float64 `json:"images_per_s"`
	RSS       int     `json:"rss_mb"`
	GMACs     float64 `json:"gmacs_per_s,omitempty"`
	Load      float64 `json:"load_ms"`
}

// count is how many checks ended in a state.
func (r *report) count(state string) int {
	n := 0
	for _, c := range r.Checks {
		if c.State == state {
			n++
		}
	}
	return n
}

func (r *report) json() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", " ")
	return append(text, '\n'), err
}

// titles are the parts in the order in which the table has them.
var titles = []struct{ part, title string }{
	{"always", "Always"}, {"tensorrt", "With TensorRT"}, {"rtx", "With TensorRT for RTX"},
}

// table is the report as a page of Markdown that reads well as plain text.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# GPU check, %s\n\n", r.Time.Format("2006-01-02 15:04 MST"))
	for _, line := range r.Machine.lines() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	fmt.Fprintf(&b, "\n%d checks passed, %d failed, %d could not run.\n", r.count(passed), r.count(failed),
		r.count(skipped))
	for _, t := range titles {
		var rows [][]string
		for _, c := range r.Checks {
			if c.Part == t.part {
				rows = append(rows, []string{c.Check, c.State, c.Found, fmt.Sprintf("%.1f", c.Seconds)})
			}
		}
		section(&b, t.title, []string{"check", "", "found", "s"}, rows)
	}
	var rows [][]string
	for _, s := range r.Speeds {
		rows = append(rows, []string{s.Network, s.Provider, s.Precision, fmt.Sprint(s.Batch),
			fmt.Sprintf("%.2f", s.P50), fmt.Sprintf("%.2f", s.P99),
			fmt.Sprintf("%.1f", s.Images), fmt.Sprint(s.RSS), fmt.Sprintf("%.0f", s.Load)})
	}
	section(&b, "Speeds, of one run", []string{"network", "provider", "precision", "batch", "p50 ms", "p99 ms",
		"images/s", "MB", "load ms"}, rows)
	return b.String()
}

// section writes one table with columns of equal width, unless there is nothing to say.
func section(b *strings.Builder, title string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i := range row {
			row[i] = strings.ReplaceAll(strings.Join(strings.Fields(row[i]), " "), "|", "¦")
			// what was found is a sentence: it stays as long as it is
			if n := len([]rune(row[i])); i != 2 || len(head) > 4 {
				width[i] = max(width[i], n)
			}
		}
	}
	line := func(cells []string) {
		for i, c := range cells {
			fmt.Fprintf(b, "| %-*s ", width[i], c)
		}
		b.WriteString("|\n")
	}
	fmt.Fprintf(b, "\n## %s\n\n", title)
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range rows {
		line(row)
	}
}
