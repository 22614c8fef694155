package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/vision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var labels = []string{"bolt", "nut", "pin"}

// prep keeps the values of the pixels.
var prep = vision.Preprocess{
	Resize: vision.ResizeSquash, Filter: vision.FilterNearest, Channels: vision.ChannelsRGB, Scale: 1,
	Std: [3]float64{1, 1, 1},
}

func monitor(t *testing.T, c vision.DecideConfig) *Monitor {
	t.Helper()
	m := New([]string{"a", "b"}, JPEG{Width: 320, Quality: 90})
	err := m.Use(Network{Labels: labels, Preprocess: prep, Size: 4,
		Decide: func(string) vision.DecideConfig { return c }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// play lets a real Decider decide on random logits, twenty a second from the start of m on.
func play(t *testing.T, m *Monitor, c vision.DecideConfig, frames int) (changes int, unknown float64) {
	t.Helper()
	decider, err := vision.NewDecider(c, labels, "")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	d := vision.Decision{Camera: "a"}
	first, none := true, 0
	for i := range frames {
		d.Frame, d.Time = uint64(i+1), m.started.Add(time.Duration(i+1)*50*time.Millisecond)
		l := vision.Logits{0, 0, 0}
		d.PValue = float32(1+i%20) / 20
		l[(i/7)%3] = random.Float32() * 4
		if i%97 == 96 {
			l = l[:2] // says nothing
		}
		decider.Decide(l, &d)
		if d.Changed && !first {
			changes++
		}
		first = first && !d.Changed
		if d.Stable.Index < 0 {
			none++
		}
		m.Observe(&d)
	}
	return changes, float64(none) / float64(frames)
}

// Replay with the threshold that was gives what was, to the change; another gives what a Decider
// with that one says.
func TestReplay(t *testing.T) {
	was := vision.DecideConfig{TopK: 3, Threshold: 0.7, Hysteresis: 0.1, Confirm: 2, Dwell: 200 * time.Millisecond,
		UnknownBelow: 0.2}
	m := monitor(t, was)
	var want []int
	var unknown []float64
	thresholds := []float64{0.7, 0.5, 0.9}
	for _, threshold := range thresholds {
		c := was
		c.Threshold = threshold
		n, none := play(t, monitor(t, c), c, 2000)
		want, unknown = append(want, n), append(unknown, none)
	}
	play(t, m, was, 2000)
	got, err := m.Replay("a", thresholds)
	if err != nil {
		t.Fatal(err)
	}
	if got.Frames != 2000 || got.Seconds != 99.95 {
		t.Errorf("%d frames in %g s, want 2000 in 99.95", got.Frames, got.Seconds)
	}
	for i, o := range got.Outcomes {
		if o.Changes != want[i] || o.Unknown != unknown[i] || want[i] < 10 {
			t.Errorf("threshold %g: %d changes, %g unknown, want %d and %g", thresholds[i], o.Changes, o.Unknown,
				want[i], unknown[i])
		}
		if perHour := float64(want[i]) * 3600 / 99.95; o.PerHour < perHour*0.999 || o.PerHour > perHour*1.001 {
			t.Errorf("threshold %g: %g changes an hour, want %g", thresholds[i], o.PerHour, perHour)
		}
	}
	if _, err := m.Replay("x", thresholds); err == nil {
		t.Error("a camera that is not there was found")
	}
}

// A second is one row: its frames, the mean of each class, the label at its end.
func TestHistory(t *testing.T) {
	m := monitor(t, vision.DecideConfig{TopK: 3, Threshold: 0.5, Confirm: 1})
	say := func(at time.Duration, label int, score float32, changed bool) {
		top := []vision.Class{{Label: labels[label], Index: label, Score: score}}
		m.Observe(&vision.Decision{Camera: "a", Time: m.started.Add(at), Top: top, Stable: top[0],
			Before: vision.Class{Index: -1}, Changed: changed, Latency: vision.Latency{Total: 4 * time.Millisecond}})
	}
	say(1100*time.Millisecond, 1, 0.5, true)
	say(1900*time.Millisecond, 1, 1, false)
	say(5*time.Second, 2, 0.75, true)
	h, err := m.History("a", Minutes15)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.FPS, h.Latency, h.Label, h.Classes); got !=
		"[2 1] [4 4] [1 2] [{1 [0.75 -1]} {2 [-1 0.75]}]" && got != "[2 1] [4 4] [1 2] [{2 [-1 0.75]} {1 [0.75 -1]}]" {
		t.Errorf("history: %s", got)
	}
	if gap := h.Time[1] - h.Time[0]; gap < 3999 || gap > 4001 {
		t.Errorf("%d ms from row to row, want 4000", gap)
	}
	if len(h.Changes) != 2 || h.Changes[1].To != 2 || h.Changes[1].From != -1 || h.Changes[1].Score != 0.75 {
		t.Errorf("changes: %+v", h.Changes)
	}
	day, err := m.History("a", Hours24)
	if err != nil || len(day.Time) != 1 || day.FPS[0] != 0.05 || day.Label[0] != 2 || len(day.Classes) != 2 {
		t.Errorf("the day: %+v, %v", day, err)
	}
	if _, err := m.History("a", "1y"); err == nil {
		t.Error("a span that is not there was found")
	}
	var s State
	if err := m.State("a", &s); err != nil || !s.Seen || s.Stable.Label != "pin" || fmt.Sprint(s.Began) != "[0 1 1]" {
		t.Errorf("state: %+v, %v", s, err)
	}
}

// A full ring forgets the oldest.
func TestRing(t *testing.T) {
	r := newRing[int](3)
	for i := range 5 {
		r.add(i)
	}
	if got := fmt.Sprint(r.all(nil), *r.last()); got != "[2 3 4] 4" {
		t.Errorf("ring: %s", got)
	}
}

func TestEvents(t *testing.T) {
	m := New([]string{"a"}, JPEG{})
	for range keptEvents + 10 {
		m.Note(Event{Kind: KindBroker, Text: "connected"})
	}
	if all := m.Events(0); len(all) != keptEvents || all[0].Number != 11 || m.Noted() != keptEvents+10 {
		t.Errorf("%d events from %d on", len(all), all[0].Number)
	}
	if newer := m.Events(keptEvents + 8); len(newer) != 2 {
		t.Errorf("%d events after the last but two", len(newer))
	}
	m.Status("a", "online")
	m.Status("a", "online")
	if newer := m.Events(keptEvents + 10); len(newer) != 1 || newer[0].Camera != "a" || newer[0].Text != "online" {
		t.Errorf("after a camera came twice: %+v", newer)
	}
}

// slow counts what is encoded, and waits for leave.
type slow struct {
	n    atomic.Int32
	wait chan struct{}
}

func (e *slow) Encode(f *vision.Frame) ([]byte, error) {
	e.n.Add(1)
	<-e.wait
	return JPEG{Width: 320, Quality: 90}.Encode(f)
}

func (e *slow) Needs(*vision.Frame) int { return 0 }

func grey(seq uint64, value byte) *vision.Frame {
	f := &vision.Frame{Seq: seq, Time: time.Now()}
	f.Resize(8, 4)
	for i := range f.Pix {
		f.Pix[i] = value
	}
	return f
}

// Nobody looks: nothing is copied. Sixteen look: one encode, and while it runs the inference does
// not wait.
func TestPictureIsMadeOnce(t *testing.T) {
	e := &slow{wait: make(chan struct{})}
	m := New([]string{"a"}, e)
	m.streams["a"].shows(prep, 4)
	d := vision.Decision{Camera: "a"}
	m.Record(&d, grey(1, 10))
	if n := len(m.streams["a"].views[0].frame.Pix); n != 0 || e.n.Load() != 0 {
		t.Fatalf("without a viewer %d bytes were copied, %d encoded", n, e.n.Load())
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			p, err := m.Picture(context.Background(), "a", false, 0)
			if err != nil || p.Frame != 2 || p.Width != 8 || p.Type != "image/jpeg" {
				t.Errorf("picture: %+v, %v", p, err)
			}
		})
	}
	for !m.streams["a"].wanted.Load() {
		time.Sleep(time.Millisecond)
	}
	m.Record(&d, grey(2, 20))
	for e.n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	m.streams["a"].views[0].taken.Store(0)
	m.Record(&d, grey(3, 30)) // comes back at once though a picture is being encoded
	close(e.wait)
	all.Wait()
	if n, told := e.n.Load(), m.Encoded(); n != 1 || told != 1 {
		t.Errorf("%d encodes for sixteen viewers, want 1; told of %d", n, told)
	}
}

// Whoever asks for a newer picture than the last waits, and is told where none comes.
func TestPictureEnds(t *testing.T) {
	m := New([]string{"a"}, JPEG{Width: 320, Quality: 90})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Picture(ctx, "a", false, 0); !errors.Is(err, ErrNoPicture) {
		t.Errorf("without a frame: %v", err)
	}
	if _, err := m.Picture(ctx, "x", false, 0); err == nil || errors.Is(err, ErrNoPicture) {
		t.Errorf("of no camera: %v", err)
	}
}

// The frame is shrunk to the mean of its pixels; the network's view is the tensor, pixel by pixel.
func TestPictures(t *testing.T) {
	m := New([]string{"a"}, JPEG{Width: 4, Quality: 100})
	m.streams["a"].shows(prep, 4)
	f := &vision.Frame{Seq: 7, Time: time.Now()}
	f.Resize(8, 8)
	for i := range f.Pix {
		f.Pix[i] = byte(i % 3 * 100) // blue 0, green 100, red 200
	}
	f.Pix[0] = 200 // the first of four
	if c := new(drawing).shrink(f, 4).RGBAAt(0, 0); c.R != 200 || c.G != 100 || c.B != 50 {
		t.Errorf("shrunk: %v, want 200 100 50", c)
	}
	for view, decode := range []func([]byte) (image.Image, error){
		func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
	} {
		got := make(chan *Picture, 1)
		go func() {
			p, err := m.Picture(context.Background(), "a", view == 1, 0)
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		for !m.streams["a"].wanted.Load() {
			time.Sleep(time.Millisecond)
		}
		m.Record(&vision.Decision{Camera: "a"}, f)
		p := <-got
		img, err := decode(p.Bytes)
		if err != nil || img.Bounds().Dx() != 4 || img.Bounds().Dy() != 4 || p.Seen != [4]float64{0, 0, 1, 1} {
			t.Fatalf("view %d: %v, %v, seen %v", view, img.Bounds(), err, p.Seen)
		}
		r, g, b, _ := img.At(2, 2).RGBA()
		if near(r>>8, 200) || near(g>>8, 100) || near(b>>8, 0) {
			t.Errorf("view %d: pixel %d %d %d, want 200 100 0", view, r>>8, g>>8, b>>8)
		}
	}
}

func near(got, want uint32) bool { return got+3 < want || got > want+3 }

// A large frame is thinned out for the encoder, and its picture still tells the frame's own size.
func TestLargeFrames(t *testing.T) {
	m := New([]string{"a"}, JPEG{Width: 4, Quality: 100})
	p := prep
	p.Resize, p.Shorter = vision.ResizeShortestCrop, 4
	m.streams["a"].shows(p, 4)
	f := grey(1, 0)
	f.Resize(32, 16)
	for y := range f.Height {
		for x := range f.Width {
			f.Pix[y*f.Stride+3*x+2] = byte(8 * x) // red, more to the right
		}
	}
	got := make(chan *Picture, 1)
	go func() {
		picture, err := m.Picture(context.Background(), "a", false, 0)
		if err != nil {
			t.Error(err)
		}
		got <- picture
	}()
	for !m.streams["a"].wanted.Load() {
		time.Sleep(time.Millisecond)
	}
	m.Record(&vision.Decision{Camera: "a"}, f)
	picture := <-got
	if kept := m.streams["a"].views[0].frame; kept.Width != 8 || kept.Height != 4 || kept.Pix[2+3] != 32 {
		t.Errorf("kept: %d×%d, %v, want 8×4 of every fourth pixel", kept.Width, kept.Height, kept.Pix[:6])
	}
	img, err := jpeg.Decode(bytes.NewReader(picture.Bytes))
	if err != nil || img.Bounds().Dx() != 4 || img.Bounds().Dy() != 2 || picture.Width != 32 || picture.Height != 16 ||
		picture.Seen != [4]float64{0.25, 0, 0.75, 1} {
		t.Errorf("picture: %+v, %v, %v", picture, img.Bounds(), err)
	}
}

// Whoever begins to look gets a picture also of a device that takes seconds for a frame, and never one
// that was made, or only taken, for somebody who has gone since.
func TestFirstPicture(t *testing.T) {
	m := monitor(t, vision.DecideConfig{TopK: 1, Confirm: 1})
	v := &m.streams["a"].views[0]
	first := func(frame uint64) *Picture {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got := make(chan *Picture)
		go func() {
			p, err := m.Picture(ctx, "a", false, 0)
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		for !v.wanted.Load() {
			time.Sleep(time.Millisecond)
		}
		f := grey(frame, 9)
		f.Time = time.Now().Add(-3 * time.Second) // when it was captured
		v.taken.Store(0)
		m.Record(&vision.Decision{Camera: "a"}, f)
		return <-got
	}
	if p := first(1); p == nil || p.Frame != 1 {
		t.Errorf("of a slow device: %+v", p)
	}
	if p := first(2); p == nil || p.Frame != 2 {
		t.Errorf("the picture of before was given to whoever came later: %+v", p)
	}
	m.streams["a"].wanted.Store(true)
	v.wanted.Store(true)
	v.taken.Store(0)
	m.Record(&vision.Decision{Camera: "a"}, grey(3, 9)) // nobody fetches it
	v.taken.Store(time.Now().Add(-time.Minute).UnixNano())
	if p := first(4); p == nil || p.Frame != 4 {
		t.Errorf("what was taken for somebody else: %+v", p)
	}
}

// Who watches hears of a change without being waited for, and State tells each once, in order, also
// after more than are kept.
func TestChanges(t *testing.T) {
	m := monitor(t, vision.DecideConfig{TopK: 3, Threshold: 0.5, Confirm: 1})
	told := make(chan struct{}, 1)
	stop := m.Watch(told)
	change := func(from, to int) {
		m.Observe(&vision.Decision{Camera: "a", Time: time.Now(), Changed: true, Before: vision.Class{Index: from},
			Stable: vision.Class{Index: to, Score: 0.75}})
	}
	var s State
	change(-1, 0)
	if err := m.State("a", &s); err != nil || s.Changed != 1 || len(s.Fresh) != 0 {
		t.Errorf("a State that was never filled: %d changes, %v, %v", s.Changed, s.Fresh, err)
	}
	change(0, 1)
	change(1, 2)
	<-told
	if err := m.Changes("a", &s); err != nil || len(s.Fresh) != 2 || s.Fresh[0].To != 1 || s.Fresh[1].To != 2 ||
		s.Fresh[1].Score != 0.75 || s.Stable.Index != 0 {
		t.Errorf("%+v, %v; want two fresh ones, and the rest as before", s, err)
	}
	if err := m.State("a", &s); err != nil || len(s.Fresh) != 0 || s.Stable.Index != 2 {
		t.Errorf("told twice: %+v, %v", s.Fresh, err)
	}
	for i := range 2 * keptChanges {
		change(i%3, (i+1)%3)
	}
	if err := m.State("a", &s); err != nil || len(s.Fresh) != keptChanges || s.Fresh[keptChanges-1].To != 1 {
		t.Errorf("%d fresh ones after %d, %v", len(s.Fresh), 2*keptChanges, err)
	}
	stop()
	<-told
	change(0, 1)
	select {
	case <-told:
		t.Error("told after stop")
	default:
	}
	if err := m.Changes("nobody", &s); err == nil {
		t.Error("an unknown stream has changes")
	}
}

// Neither a decision nor a frame that nobody wants allocates.
func TestNothingIsAllocated(t *testing.T) {
	m := monitor(t, vision.DecideConfig{TopK: 3, Threshold: 0.5, Confirm: 1})
	d := vision.Decision{Camera: "a", Time: time.Now(), Stable: vision.Class{Index: -1},
		Top: []vision.Class{{Label: "nut", Index: 1, Score: 0.6}, {Label: "bolt", Index: 0, Score: 0.2}}}
	f := grey(1, 9)
	m.Observe(&d)
	if n := testing.AllocsPerRun(1000, func() {
		d.Time = d.Time.Add(100 * time.Millisecond)
		d.Changed = !d.Changed
		m.Observe(&d)
		m.Record(&d, f)
	}); n > 0 {
		t.Errorf("%g allocations a decision, want 0", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := New([]string{"a"}, JPEG{})
	err := m.Use(Network{Labels: labels, Preprocess: prep, Size: 4,
		Decide: func(string) vision.DecideConfig { return vision.DecideConfig{TopK: 3, Confirm: 1} }})
	if err != nil {
		b.Fatal(err)
	}
	d := vision.Decision{Camera: "a", Time: time.Now(),
		Top: []vision.Class{{Label: "nut", Index: 1, Score: 0.6}, {Label: "bolt", Index: 0, Score: 0.2}}}
	f := grey(1, 9)
	for b.Loop() {
		d.Time = d.Time.Add(30 * time.Millisecond)
		m.Observe(&d)
		m.Record(&d, f)
	}
}
