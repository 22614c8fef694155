package camera

import "time"

const (
	// backlog is how much older than the freshest so far a frame may be: two frames at 30 a second and some
	// jitter of the network.
	backlog = 100 * time.Millisecond
	// catchUp is how long frames are dropped before one passes however old it is: where the decoder cannot
	// keep up, dropping does not help.
	catchUp = 2 * time.Second
	// leap is a change of the stream's clock against ours that no network explains.
	leap = 2 * time.Second
	// drift is how much the age of the freshest frame may rise with time: clocks of cameras differ by less.
	drift = 1.0 / 1000
	// calm is how many frames in a row must come no faster than the stream's clock runs before the first passes:
	// on a busy machine a few of those that have waited may be read as slowly as new ones.
	calm = 5
)

// freshness finds frames that have waited in a buffer, by comparing the stream's clock with ours: FFmpeg hands
// out all that came while it was opening, and all that came while nobody read. GStreamer drops those itself.
type freshness struct {
	lead      time.Duration // our clock − the stream's, for the freshest frame so far
	last, pts time.Duration // the clocks at the frame before: ours, the stream's
	since     time.Duration // our clock at the first of the frames that are being dropped
	dropping  bool
	wary      int // frames until the first may pass; calm after a reset
}

// fresh takes the two clocks at a frame and reports whether it is new. The first ones never are: whether they
// have waited can only be seen by those behind them.
func (s *freshness) fresh(now, pts time.Duration) bool {
	step, elapsed, lead := pts-s.pts, now-s.last, now-pts
	reset := s.last == 0 || (step-elapsed).Abs() > leap
	draining := s.lead-lead > step/8 // the stream's clock runs faster than ours: we read what has waited
	if reset || draining && s.wary > 0 {
		s.wary = calm
	} else {
		s.wary = max(0, s.wary-1)
	}
	s.lead = min(lead, s.lead+time.Duration(drift*float64(elapsed)))
	if reset {
		s.lead = lead
	}
	s.last, s.pts = now, pts
	if s.wary == 0 && lead <= s.lead+backlog || s.dropping && now-s.since > catchUp {
		s.dropping = false
		return true
	}
	if !s.dropping {
		s.dropping, s.since = true, now
	}
	return false
}
