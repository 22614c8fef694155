// Package progress shows how far work is.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// New counts work on w: a bar where w is a terminal, else a line every few seconds.
// total < 0 means that the end is not known. Call Finish when the work is done.
func New(w io.Writer, what string, total int64, bytes bool) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionThrottle(100 * time.Millisecond),
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		options = append(options, progressbar.OptionSetWriter(w),
			progressbar.OptionSetWidth(30), progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }))
	} else {
		options = append(options, progressbar.OptionSetWriter(lineWriter{w}),
			progressbar.OptionThrottle(3*time.Second), progressbar.OptionSetWidth(10))
	}
	return progressbar.NewOptions64(total, options...)
}

// lineWriter turns the redraws of a progress bar into lines.
type lineWriter struct{ w io.Writer }

func (l lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && (p[0] == '\r' || p[0] == '\n') {
		p = p[1:]
	}
	if len(p) > 0 && p[0] != ' ' {
		fmt.Fprintf(l.w, "%s\n", p)
	}
	return n, nil
}
