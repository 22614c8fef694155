package agent

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/camera"
)

const (
	// patience is how long opening a camera, a read of it, or a run of the network may take at the very
	// most. Each of them has its own, shorter limit; beyond this one something hangs in C for good.
	patience = 60 * time.Second
	// networkPatience is that of a run of the network: the largest takes about 5 s on the smallest CPU.
	networkPatience = 2 * time.Minute
)

// pulse is one goroutine's word until when the step that it is in must have come to its end. Waiting for
// another goroutine, or between two tries, is rest. It goes by the monotonic clock: a clock that is set
// while the agent runs changes nothing.
type pulse struct {
	began time.Time
	until atomic.Int64 // nanoseconds after began; 0: rest
}

func (p *pulse) within(d time.Duration) { p.until.Store(int64(time.Since(p.began) + d)) }
func (p *pulse) rest()                  { p.until.Store(0) }

func (p *pulse) late() bool {
	until := p.until.Load()
	return until != 0 && int64(time.Since(p.began)) > until
}

// stuck names the step of the pipeline that will not come to its end; nil where all go on, or rest.
// A lost camera that is tried again and again is not stuck. It may be called from any goroutine.
func (p *Pipeline) stuck() error {
	if !p.prepared.Load() {
		return nil
	}
	if p.network.late() {
		return fmt.Errorf("the network has not answered for more than %s", networkPatience)
	}
	for _, f := range p.feeds {
		if f.pulse.late() {
			return fmt.Errorf("camera %s: a read has not come back within %s", f.Name, f.patience())
		}
	}
	return nil
}

// patience is how long one step of the camera may take.
func (c *Camera) patience() time.Duration { return patience + c.Slow }

// slowness is how long a read of the camera may take by its own settings: the time between two frames,
// and the silence that its URI allows.
func slowness(c *camera.Config) time.Duration {
	u, err := camera.ParseURI(c.Source)
	if err != nil {
		return 0 // Open will say so
	}
	slow := u.Timeout
	for _, fps := range []float64{c.FPS, u.FPS} {
		if fps > 0 {
			slow += time.Duration(2 * float64(time.Second) / fps)
		}
	}
	return slow
}
