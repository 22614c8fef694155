package release

import (
	"context"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// rests is how long a goroutine of a pull beside a network rests for each moment of CPU that it has used: at
// most 2 % of one core are its, and what a line brings is seldom more than it can hash in that time.
const rests = 50

// pace keeps the work of one goroutine from a network that runs in the same process; nil: it need not.
// Between newPace and end the goroutine has a thread of its own, whose CPU time is what counts: time in
// which it waits, for the line, the disk or the CPU, is none of its doing.
type pace struct{ used, owed time.Duration }

// shortest is a rest worth a timer.
const shortest = 2 * time.Millisecond

func newPace(beside bool) *pace {
	if !beside {
		return nil
	}
	runtime.LockOSThread()
	return &pace{used: threadTime()}
}

func (p *pace) end() {
	if p != nil {
		runtime.UnlockOSThread()
	}
}

// rest waits for what was used since the last call.
func (p *pace) rest(ctx context.Context) error {
	if p == nil {
		return nil
	}
	now := threadTime()
	p.owed += rests * (now - p.used)
	p.used = now
	if p.owed < shortest {
		return nil
	}
	wait := p.owed
	p.owed = 0
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// threadTime is the CPU time of the calling thread; 0 where the kernel does not tell.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// paced reads no faster than a pace allows; what its reader does in between counts, too.
type paced struct {
	io.ReadCloser
	rest func() error
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.rest(); err != nil {
		return 0, err
	}
	return p.ReadCloser.Read(b)
}

// paced is r at the pace of this goroutine.
func (p *pace) paced(ctx context.Context, r io.ReadCloser) io.ReadCloser {
	if p == nil {
		return r
	}
	return &paced{r, func() error { return p.rest(ctx) }}
}
