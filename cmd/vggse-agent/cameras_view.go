package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// belowPicture are the rows that stay free for the measurement and the next prompt.
const belowPicture = 9

// viewer is where a picture is drawn as text.
type viewer struct {
	out           io.Writer
	columns, rows int
	trueColour    bool
	last          vision.Frame // a copy
}

// newViewer returns the terminal of out; why says in one sentence why nothing can be drawn there.
func newViewer(out io.Writer) (v *viewer, why string) {
	const instead = "; --save writes pictures to a folder"
	f, ok := out.(*os.File)
	switch {
	case !ok || !term.IsTerminal(int(f.Fd())):
		return nil, "--view draws on a terminal, and this output is none" + instead
	case os.Getenv("NO_COLOR") != "":
		return nil, "--view draws with colours, and NO_COLOR is set" + instead
	case os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "":
		return nil, "--view draws with colours, and this terminal (TERM) has none" + instead
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 {
		columns, rows = 80, 24
	}
	depth := os.Getenv("COLORTERM")
	return &viewer{out: out, columns: columns, rows: max(4, rows-belowPicture),
		trueColour: depth == "truecolor" || depth == "24bit"}, ""
}

// keep keeps a copy of a frame for draw.
func (v *viewer) keep(f *vision.Frame) {
	if v != nil {
		v.last.CopyFrom(f)
	}
}

func (v *viewer) draw() error {
	if v == nil || v.last.Width == 0 {
		return nil
	}
	if err := camera.Blocks(v.out, &v.last, v.columns, v.rows, v.trueColour); err != nil {
		return fmt.Errorf("--view: %w", err)
	}
	return nil
}
