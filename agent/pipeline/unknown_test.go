package pipeline

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// knowing is a fakeNetwork with two features: dark pictures look like the known class, bright ones
// like nothing.
type knowing struct {
	fakeNetwork
	known *vision.Known
}

func (n *knowing) SignalSizes() vision.SignalSizes { return vision.SignalSizes{Features: 2} }

func (n *knowing) Known() *vision.Known { return n.known }

func (n *knowing) RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits, s []*vision.Signals) error {
	s[0].Features[0], s[0].Features[1] = 1-t.Data[0], t.Data[0]
	return n.Run(ctx, t, out)
}

// Frames that look like none of the classes are unknown whatever their scores; stats and counts tell
// their share. Switched off while it runs, they are labels again.
func TestUnknown(t *testing.T) {
	k, err := vision.NewKnown([]float32{1, 0, 0, 1}, []float32{1, 0}, []float32{0, 0.1, 0.2, 0.3}, 2)
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Int32
	source := &fakeSource{frames: 40, err: io.EOF, closed: &closed}
	r := &published{}
	p := testPipeline(&knowing{known: k}, r, Camera{Name: "film", EveryFrame: true,
		Open: func(context.Context) (Source, error) { return source, nil }})
	p.Decide.UnknownBelow = 0.25
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, d := range r.decisions {
		label, p, unknown := "dark", float32(1), false
		if i%2 == 0 {
			label, p, unknown = vision.Unknown, 0.2, true // of four scores none is as large
		}
		if d.Stable.Label != label || d.PValue != p || d.Unknown != unknown {
			t.Errorf("frame %d: %+v", i, d)
		}
	}
	if c := p.Counts(); len(c) != 1 || c[0].Judged != 40 || c[0].Unknown != 20 {
		t.Errorf("%+v", c)
	}
	if s := p.streams[0].meter.stats(time.Second, make([]time.Duration, window)); !s.Judged || s.Unknown != 20 ||
		s.UnknownShare != 0.5 {
		t.Errorf("%+v", s)
	}
	p.SetUnknownBelow("film", 0)
	d := vision.Decision{PValue: 0.2}
	s := &slot{frame: vision.Frame{Time: time.Now()}}
	v := p.binding.Load()
	v.streams[0].decide(p.streams[0], s, vision.Logits{0, 9}, &d)
	if d.Unknown || d.Stable.Label != "bright" {
		t.Errorf("switched off: %+v", d)
	}
}
