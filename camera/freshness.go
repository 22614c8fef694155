package camera

import "time"

const (
	// backlog is how much older than the freshest so far a frame may be: two frames at 30 a second
	// and some jitter of the network.
	backlog = 100 * time.Millisecond
	// catchUp is how long frames are dropped before they pass however old they seem: where the
	// decoder cannot keep up, dropping does not help.
	catchUp = 2 * time.Second
	// leap is a change of the stream's clock against ours that no network explains.
	leap = 2 * time.Second
	// playing is what lies between the start of an opening and PLAY, at most; 0.12 to 0.17 s were
	// measured on a loaded machine.
	playing = 300 * time.Millisecond
	// calm is how long, by the stream's clock, frames must come no faster than that clock runs
	// before the first passes: on a busy machine a few of those that have waited may be read as
	// slowly as new ones.
	calm = 160 * time.Millisecond
	// drift is how much the age of the freshest frame may rise with time: clocks of cameras differ
	// by less.
	drift = 1.0 / 1000
)

// freshness finds frames that have waited in a buffer, by comparing the stream's clock with ours:
// FFmpeg hands out all that came while it was opening, and all that came while nobody read.
// GStreamer drops those itself.
type freshness struct {
	lead      time.Duration // our clock − the stream's, for the freshest frame so far
	last, pts time.Duration // the clocks at the frame before, ours and the stream's; 0 before the first
	wary      time.Duration // until the first frame may pass, by the stream's clock
	since     time.Duration // our clock at the first of the frames that are being dropped
	dropping  bool
	// settled: what waited at the opening is over. Frames that come in bunches, as by Wi-Fi, are
	// then no sign of it, and the newest of each bunch pass.
	settled bool
}

// newFreshness is for a stream whose opening began when our clock was 0. RTSP tells how its clock
// stands at PLAY, and FFmpeg counts from there: a frame that is older than the time since then has
// waited.
func newFreshness() freshness { return freshness{lead: playing, wary: calm} }

// fresh takes the two clocks at a frame and reports whether it is new. The first ones never are:
// whether they have waited can only be seen by those behind them.
func (s *freshness) fresh(now, pts time.Duration) bool {
	// Some streams give their first frames no time; if none has one, they pass by and by.
	if pts > 0 && s.compare(now, pts) {
		s.dropping = false
		return true
	}
	if !s.dropping {
		s.dropping, s.since = true, now
	}
	if now-s.since <= catchUp {
		return false
	}
	if pts > 0 { // the decoder cannot keep up, or the stream's clock was set: begin anew
		s.dropping, s.lead = false, now-pts
		s.settled, s.wary = true, 0
	}
	return true
}

// compare reports whether a frame is about as new as the freshest, and the stream is not running
// ahead.
func (s *freshness) compare(now, pts time.Duration) bool {
	lead, step, elapsed := now-pts, pts-s.pts, now-s.last
	first := s.last == 0
	leapt := !first && (step-elapsed).Abs() > leap
	draining := step-elapsed > step/8 // the stream's clock runs faster than ours: we read what has waited
	switch {
	case leapt || draining && s.wary > 0 && !s.settled:
		s.wary = calm
	case !first:
		s.wary = max(0, s.wary-step)
	}
	s.lead = min(lead, s.lead+time.Duration(drift*float64(elapsed)))
	if leapt {
		s.lead = lead
	}
	s.last, s.pts = now, pts
	return s.wary == 0 && lead <= s.lead+backlog
}
