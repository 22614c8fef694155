// Package progress shows how far work is.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/vggse/vggse-agent/internal/round"
)

// Progress tells how far a procedure is on a writer: a bar where that is a terminal, else a line
// every few seconds. A nil Progress is silent.
type Progress struct {
	w        io.Writer
	terminal bool
	step, of int  // the step under way, and how many there will be; 0: nobody has said
	parts    bool // what is started is a part of step, and no step itself
	last     *Bar
}

// To is a Progress that writes to w.
func To(w io.Writer) *Progress {
	f, ok := w.(*os.File)
	return &Progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Of says how many steps will be started; each then says its number.
func (p *Progress) Of(steps int) {
	if p != nil {
		p.step, p.of, p.parts = 0, steps, false
	}
}

// At says that step n of steps is under way: what is started from now on are parts of it, until it
// is called again.
func (p *Progress) At(n, steps int) {
	if p != nil {
		p.step, p.of, p.parts = n, steps, true
	}
}

// Say writes a line between the steps.
func (p *Progress) Say(format string, args ...any) {
	if p != nil {
		fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// Start begins a step of total things to do; total < 0 means that the end is not known.
func (p *Progress) Start(step string, total int64) *Bar { return p.start(step, total, false) }

// StartBytes begins a step of total bytes to write.
func (p *Progress) StartBytes(step string, total int64) *Bar { return p.start(step, total, true) }

func (p *Progress) start(step string, total int64, bytes bool) *Bar {
	if p == nil {
		return &Bar{}
	}
	if p.of > 0 {
		if !p.parts {
			p.step++
		}
		step = fmt.Sprintf("step %d of %d: %s", p.step, max(p.step, p.of), step)
	}
	options := []progressbar.Option{
		progressbar.OptionSetDescription(step),
		progressbar.OptionShowCount(),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // redraw does it; the library's own goroutine races with Done
	}
	p.last.end()
	if p.terminal {
		options = append(options, progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetWidth(30), progressbar.OptionOnCompletion(func() { fmt.Fprintln(p.w) }))
	} else {
		options = append(options, progressbar.OptionSetWriter(lineWriter{p.w}),
			progressbar.OptionThrottle(3*time.Second), progressbar.OptionSetWidth(10))
	}
	p.last = &Bar{bar: progressbar.NewOptions64(total, options...)}
	if p.terminal || total < 0 {
		p.last.redraw()
	}
	return p.last
}

// Steps returns a function for steps that follow one another and say themselves how far they are.
func (p *Progress) Steps() func(step string, done, of int) {
	var mu sync.Mutex
	var step string
	var bar *Bar
	return func(s string, done, of int) {
		mu.Lock()
		defer mu.Unlock()
		if s != step {
			step, bar = s, p.Start(s, int64(of))
		}
		bar.set(done)
	}
}

// Bar is one step under way. Its methods may be called from several goroutines. What cannot be
// shown is no error.
type Bar struct {
	bar   *progressbar.ProgressBar
	ended atomic.Bool // nothing is drawn any more
}

// redraw shows the time that passes also where nothing gets done for long.
func (b *Bar) redraw() {
	time.AfterFunc(time.Second, func() {
		if !b.ended.Load() && !b.bar.IsFinished() {
			_ = b.bar.RenderBlank()
			b.redraw()
		}
	})
}

// end stops the drawing; nil is no bar.
func (b *Bar) end() {
	if b != nil {
		b.ended.Store(true)
	}
}

// Add counts n things done.
func (b *Bar) Add(n int) {
	if b.bar != nil {
		_ = b.bar.Add(n)
	}
}

// One counts one thing done.
func (b *Bar) One() { b.Add(1) }

// Write counts bytes done, and never fails.
func (b *Bar) Write(p []byte) (int, error) {
	b.Add(len(p))
	return len(p), nil
}

// Done ends the step where it stands: one that was broken off is not shown as complete.
func (b *Bar) Done() {
	b.end()
	if b.bar == nil || b.bar.IsFinished() {
		return
	}
	if state := b.bar.State(); b.bar.GetMax64() > 0 && state.CurrentNum < b.bar.GetMax64() {
		_ = b.bar.RenderBlank()
		_ = b.bar.Exit()
		return
	}
	_ = b.bar.Finish()
}

func (b *Bar) set(n int) {
	if b.bar != nil {
		_ = b.bar.Set(n)
	}
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

// Timed does a step and notes under its name how many seconds it took, and how many the processor worked
// for this process meanwhile, which a busy machine leaves as they are. A step that fails is not noted.
func Timed(name string, seconds, processor map[string]float64, do func() error) error {
	begin, worked := time.Now(), processorTime()
	if err := do(); err != nil {
		return err
	}
	seconds[name] = round.Three(time.Since(begin).Seconds())
	processor[name] = round.Three((processorTime() - worked).Seconds())
	return nil
}

// processorTime is how long this process has had a processor.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
