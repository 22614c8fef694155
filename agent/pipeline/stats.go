package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
)

// report publishes every camera's figures at each interval until ctx ends.
func (p *Pipeline) report(ctx context.Context) {
	if p.StatsEvery <= 0 {
		return
	}
	tick := time.NewTicker(p.StatsEvery)
	defer tick.Stop()
	before := time.Now()
	var durations [window]time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			stats := mqtt.Stats{Cameras: make([]mqtt.CameraStats, 0, len(p.streams))}
			for _, l := range p.streams {
				s := l.meter.stats(now.Sub(before), durations[:])
				s.Name, s.Skipped, s.Still = l.name, l.box.drops(), l.meter.still.Load()
				stats.Cameras = append(stats.Cameras, s)
			}
			p.Publisher.Stats(stats)
			before = now
		}
	}
}

// Counts are what one stream has done so far.
type Counts struct {
	Name       string
	Captured   uint64
	Classified uint64
	Skipped    uint64 // of the captured: a newer one was there first
	Judged     uint64 // of the classified: the network could tell whether they show one of the classes
	Unknown    uint64 // of the judged: they show none
	Drift      mqtt.Drift
}

// Counts are those of every stream; none before Run. It may be called from any goroutine.
func (p *Pipeline) Counts() []Counts {
	if !p.prepared.Load() {
		return nil
	}
	all := make([]Counts, 0, len(p.streams))
	for _, l := range p.streams {
		l.meter.mu.Lock()
		c := Counts{Name: l.name, Classified: l.meter.classified, Judged: l.meter.judged, Unknown: l.meter.unknown,
			Drift: l.meter.drift}
		l.meter.mu.Unlock()
		c.Captured, c.Skipped = l.meter.captured.Load(), l.box.drops()
		all = append(all, c)
	}
	return all
}

// RunTime is the median time of the latest runs of the network, of all streams; 0: none has run.
func (p *Pipeline) RunTime() time.Duration {
	if !p.prepared.Load() {
		return 0
	}
	var all []time.Duration
	for _, l := range p.streams {
		l.meter.mu.Lock()
		all = append(all, l.meter.infer[:min(l.meter.classified, window)]...)
		l.meter.mu.Unlock()
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// stats reads the meter after the given time since the last call; buf is room for window durations.
func (m *meter) stats(since time.Duration, buf []time.Duration) mqtt.CameraStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.classified - m.told
	m.told = m.classified
	fresh := int(min(n, window))
	judged, unknown := m.judged-m.toldJudged, m.unknown-m.toldOf
	m.toldJudged, m.toldOf = m.judged, m.unknown
	return mqtt.CameraStats{
		Judged: judged > 0, Unknown: m.unknown, UnknownShare: float64(unknown) / float64(max(1, judged)),
		Drift:    m.drift,
		Captured: m.captured.Load(), Classified: m.classified, FPS: float64(n) / since.Seconds(),
		Infer: percentiles(m.latest(&m.infer, fresh, buf)), Total: percentiles(m.latest(&m.total, fresh, buf)),
	}
}

// latest copies the n newest durations of a ring into buf.
func (m *meter) latest(ring *[window]time.Duration, n int, buf []time.Duration) []time.Duration {
	buf = buf[:n]
	for i := range buf {
		buf[i] = ring[(m.classified-1-uint64(i))%window]
	}
	return buf
}

// percentiles sorts d and picks the nearest rank; zeros where d is empty.
func percentiles(d []time.Duration) mqtt.Percentiles {
	if len(d) == 0 {
		return mqtt.Percentiles{}
	}
	slices.Sort(d)
	rank := func(p int) time.Duration { return d[min(len(d)*p/100, len(d)-1)] }
	return mqtt.Percentiles{P50: rank(50), P90: rank(90), P99: rank(99)}
}

// Idle reports whether no frame waits for the network.
func (p *Pipeline) Idle() bool {
	for _, l := range p.streams {
		l.box.mu.Lock()
		waits := l.box.newest != nil
		l.box.mu.Unlock()
		if waits {
			return false
		}
	}
	return true
}

// Slowest is the 99th percentile of the time from capture to decision, of the latest n decisions of
// each stream; 0: there is none.
func (p *Pipeline) Slowest(n uint64) time.Duration {
	if !p.prepared.Load() {
		return 0
	}
	var all []time.Duration
	for _, l := range p.streams {
		var latest [window]time.Duration
		l.meter.mu.Lock()
		all = append(all, l.meter.latest(&l.meter.total, int(min(n, l.meter.classified, window)), latest[:])...)
		l.meter.mu.Unlock()
	}
	return percentiles(all).P99
}
