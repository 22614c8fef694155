package selfexec

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// asidePatience is how long a child that was asked to end may take, to leave nothing behind.
const asidePatience = 10 * time.Second

// Aside runs this program once more with args at the lowest priority, to the end or until ctx ends,
// and hands each line that it writes to its standard error to line. The child asked to end has ten
// seconds, and never outlives this process; where memory lacks, it goes first. The error of a child
// that failed is its last word. Call it from a goroutine of its own: the priority of its thread is
// not taken back.
func Aside(ctx context.Context, args []string, line func(string)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // for good: the thread is the child's parent, and of the child's priority
	if err := lowest(); err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, args...)
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	child.WaitDelay = asidePatience
	tie(child)
	words, err := child.StderrPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	spare(child.Process.Pid)
	said := hear(words, line)
	err = child.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		err = Died(err, said)
	}
	return err
}

// saidLimit is how much of what a child says is remembered for its end, bytes.
const saidLimit = 64 << 10

// hear hands over each line of r until it ends, and returns the last of them.
func hear(r io.Reader, line func(string)) (said []byte) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if text := strings.TrimSpace(lines.Text()); text != "" {
			if len(said) > saidLimit {
				said = said[:0]
			}
			said = append(append(said, text...), '\n')
			line(text)
		}
	}
	_, _ = io.Copy(io.Discard, r) // behind a line without an end, so that the child is not held up
	return said
}
