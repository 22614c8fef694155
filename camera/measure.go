package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// Measurement is what a source gave while it was measured: the JSON of cameras test.
type Measurement struct {
	URI      string   `json:"uri"`
	Asked    string   `json:"asked"`
	Got      string   `json:"got"`
	Frames   int      `json:"frames"`
	FPS      float64  `json:"fps"`
	AgeMS    *float64 `json:"age_ms"` // median, when the frame was handed out; null: this source does not tell
	FirstMS  float64  `json:"first_frame_ms"`
	Warnings []string `json:"warnings,omitempty"`
}

// Reader is an open source: a Stream, or the same in a process of its own.
type Reader interface {
	Read(ctx context.Context, f *vision.Frame) error
	Info() Info
	Age() (age time.Duration, known bool)
	Skipped() (n int, why string)
	Close() error
}

// Measure opens the source with open, reads at most so many frames, and closes it. Each frame goes
// to keep, where that is not nil; it is valid until keep returns.
func Measure(ctx context.Context, source string, frames int, open func(context.Context) (Reader, error),
	keep func(*vision.Frame) error) (m *Measurement, err error) {
	u, err := ParseURI(source)
	if err != nil {
		return nil, err
	}
	m = new(Measurement)
	start := time.Now()
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var f vision.Frame
	var ages []time.Duration
	var first, last time.Time
	var early error
	for ; m.Frames < frames; m.Frames++ {
		if err := s.Read(ctx, &f); errors.Is(err, io.EOF) && !errors.Is(err, ErrLost) {
			early = err
			break
		} else if err != nil {
			return nil, fmt.Errorf("after %s: %w", round.Count(m.Frames, "frame", "frames"), err)
		}
		if m.Frames == 0 {
			first = f.Time
		}
		last = f.Time
		if age, known := s.Age(); known {
			ages = append(ages, age)
		}
		if keep != nil {
			if err := keep(&f); err != nil {
				return nil, err
			}
		}
	}
	info := s.Info()
	m.URI, m.Asked, m.Warnings = info.URI, asked(&u), slices.Clone(info.Warnings)
	if errors.Is(early, ErrCutOff) {
		m.Warnings = []string{early.Error()} // says more than what was known at the start
	}
	m.Got = fmt.Sprintf("%dx%d through %s", info.Width, info.Height, info.Backend)
	m.FirstMS = round.Milliseconds(first.Sub(start))
	if took := last.Sub(first); took > 0 {
		m.FPS = float64(m.Frames-1) / took.Seconds()
	}
	if len(ages) > 0 {
		slices.Sort(ages)
		age := round.Milliseconds(ages[len(ages)/2])
		m.AgeMS = &age
	}
	return m, nil
}

// asked is the capture mode that a URI names.
func asked(u *URI) string {
	text := "whatever comes"
	if u.Width > 0 {
		text = fmt.Sprintf("%dx%d", u.Width, u.Height)
	}
	if u.FPS > 0 {
		text += fmt.Sprintf(" at %g frames/s", u.FPS)
	}
	if u.Codec != "" {
		text += " in " + u.Codec
	}
	return text
}
