package pipeline

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// stepLimit is how long opening a camera or a read of it may take at the very most. Package
	// worker has shorter limits, and ends the process that passes them; beyond this one something is
	// wrong in this process.
	stepLimit = 3 * time.Minute
	// networkPatience is that of a run of the network: the largest takes about 5 s on the smallest
	// CPU.
	networkLimit = 2 * time.Minute
)

// deadline is one goroutine's word until when the step that it is in must have come to its end.
// Waiting for another goroutine, or between two tries, is rest. It goes by the monotonic clock: a
// clock that is set while the agent runs changes nothing.
type deadline struct {
	began time.Time
	until atomic.Int64 // nanoseconds after began; 0: rest
}

func (p *deadline) set(d time.Duration) { p.until.Store(int64(time.Since(p.began) + d)) }
func (p *deadline) clear()              { p.until.Store(0) }

func (p *deadline) passed() bool {
	until := p.until.Load()
	return until != 0 && int64(time.Since(p.began)) > until
}

// Stuck names the step of the pipeline that will not come to its end; nil where all go on, or rest.
// A lost camera that is tried again and again is not stuck. It may be called from any goroutine.
func (p *Pipeline) Stuck() error {
	if !p.prepared.Load() {
		return nil
	}
	if p.network.passed() {
		return fmt.Errorf("the network has not answered for more than %s", networkLimit)
	}
	for _, f := range p.captures {
		if f.deadline.passed() {
			return fmt.Errorf("camera %s: a read has not come back within %s", f.Name, f.stepLimit())
		}
	}
	return nil
}

// patience is how long one step of the camera may take.
func (c *Camera) stepLimit() time.Duration { return stepLimit + c.Slow }
