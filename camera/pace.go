package camera

import (
	"context"
	"time"
)

// pace holds a source to a rate: files and drawn scenes wait for their next picture, cameras drop
// those that come too early. The zero value holds back nothing.
type pace struct {
	period time.Duration // between pictures; 0: no limit
	next   time.Time     // when the next one is due; zero before the first
	timer  *time.Timer   // made at the first wait
}

func paceOf(fps float64) pace {
	if fps <= 0 {
		return pace{}
	}
	return pace{period: time.Duration(float64(time.Second) / fps)}
}

// wait sleeps until the next picture is due, or returns ctx's error. Whoever comes late by more
// than a period has missed his turn: time that was lost is not made up by a burst.
func (p *pace) wait(ctx context.Context) error {
	now := time.Now()
	late := now.Sub(p.next)
	if p.next.IsZero() || late > p.period {
		p.next = now
	}
	if late < 0 {
		if p.timer == nil {
			p.timer = time.NewTimer(-late)
		} else {
			p.timer.Reset(-late)
		}
		select {
		case <-ctx.Done():
			p.timer.Stop()
			return ctx.Err()
		case <-p.timer.C:
		}
	}
	p.next = p.next.Add(p.period)
	return ctx.Err()
}

// due reports whether a live picture that came at now is wanted. A quarter of a period of jitter is
// forgiven, so that 30 pictures a second thinned to 10 are every third.
func (p *pace) due(now time.Time) bool {
	if now.Before(p.next.Add(-p.period / 4)) {
		return false
	}
	if late := now.Sub(p.next); p.next.IsZero() || late > p.period {
		p.next = now
	}
	p.next = p.next.Add(p.period)
	return true
}

// Slowness is how long a read of the camera may take by its own settings: the time between two
// frames, and the silence that its URI allows.
func Slowness(c *Config) time.Duration {
	u, err := ParseURI(c.Source)
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

// Network reports whether the source is a server's.
func (c *Config) Network() bool {
	u, err := parse(c.Source)
	return err == nil && (u.Scheme == "rtsp" || u.Scheme == "onvif" || u.Scheme == "http")
}
