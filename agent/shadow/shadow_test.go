package shadow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/agent/trial"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// TestMain is also the child.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != Verb {
		os.Exit(m.Run())
	}
	Prepare()
	if os.Args[2] == "closed" {
		fmt.Fprintln(os.Stderr, "vggse-agent: there is no such bundle")
		os.Exit(1)
	}
	if err := Serve(context.Background(), mean{os.Args[2]}, spec()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func spec() *bundle.Spec {
	return &bundle.Spec{Architecture: bundle.Architecture{InputSize: 2}, Labels: []string{"dark", "bright"},
		Preprocess: vision.Preprocess{Resize: vision.ResizeSquash, Filter: vision.FilterPILBilinear,
			Channels: vision.ChannelsRGB, Scale: 1.0 / 255, Std: [3]float64{1, 1, 1}}}
}

// mean answers with the brightness of a picture.
type mean struct{ kind string }

func (n mean) Run(_ context.Context, t *vision.Tensor, out vision.Logits) error {
	switch n.kind {
	case "fails":
		return errors.New("a node has no kernel")
	case "panics":
		panic("a bug")
	case "exits":
		os.Exit(7)
	}
	out[0], out[1] = 0, t.Data[0]
	return nil
}

// begin starts a child of a kind and waits until its model is open.
func begin(t *testing.T, kind string) *Child {
	t.Helper()
	c, err := Start([]string{Verb, kind}, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for !c.Open() {
		if a, err := c.Next(time.Minute); a != nil || err != nil {
			t.Fatalf("%+v, %v, want the model open", a, err)
		}
	}
	return c
}

// picture has rows that are longer than what is shown of them.
func picture(width, height int, grey byte) *vision.Frame {
	f := &vision.Frame{Width: width, Height: height, Stride: 3*width + 5}
	f.Pix = make([]byte, f.Stride*height)
	for y := range height {
		for x := range 3 * width {
			f.Pix[y*f.Stride+x] = grey
		}
	}
	return f
}

// TestChild: each picture is answered once, by its own size, with what was seen in it; one is under
// way at a time.
func TestChild(t *testing.T) {
	c := begin(t, "good")
	for i, f := range []*vision.Frame{picture(4, 4, 51), picture(7, 3, 102), picture(2, 9, 255)} {
		old := trial.Seen{Label: i, Score: 0.5, Took: time.Duration(i)}
		if !c.Offer("door", old, f) {
			t.Fatalf("picture %d was not taken", i)
		}
		if c.Offer("yard", old, f) {
			t.Error("a second picture was taken meanwhile")
		}
		a, err := c.Next(time.Minute)
		if err != nil || a == nil || a.Stream != "door" || a.Old != old || a.Took <= 0 {
			t.Fatalf("picture %d: %+v, %v", i, a, err)
		}
		if want := float32(f.Pix[0]) / 255; a.Logits[0] != 0 || a.Logits[1] < want-1e-3 || a.Logits[1] > want+1e-3 {
			t.Errorf("picture %d: %v, want 0 and %g", i, a.Logits, want)
		}
	}
	if a, err := c.Next(time.Millisecond); a != nil || err != nil {
		t.Errorf("without a picture: %+v, %v", a, err)
	}
	if c.Memory() < 1<<20 {
		t.Errorf("its process has %d bytes", c.Memory())
	}
	if big := (&vision.Frame{Width: 1 << 13, Height: 1 << 13, Stride: 3 << 13}); c.Offer("door", trial.Seen{}, big) {
		t.Error("a picture was taken that has no room")
	}
	c.Close()
	if c.Offer("door", trial.Seen{}, picture(4, 4, 1)) {
		t.Error("a picture was taken after the end")
	}
}

// TestChildThatFails: what goes wrong in the child is told in one sentence, and is its own.
func TestChildThatFails(t *testing.T) {
	for kind, want := range map[string]string{"fails": "its run failed: a node has no kernel", "panics": "panic: a bug",
		"exits": "its process ended"} {
		c := begin(t, kind)
		if !c.Offer("a", trial.Seen{}, picture(4, 4, 1)) {
			t.Fatal("the picture was not taken")
		}
		if a, err := c.Next(time.Minute); a != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", kind, a, err, want)
		}
	}
	c, err := Start([]string{Verb, "closed"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Next(time.Minute); err == nil || err.Error() != "there is no such bundle" {
		t.Errorf("a model that does not open: %v", err)
	}
	killed := begin(t, "good")
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Next(time.Minute); !errors.Is(err, ErrKilled) {
		t.Errorf("killed: %v", err)
	}
}

// TestOfferAllocatesNothing: the agent pays for a picture with a copy alone.
func TestOfferAllocatesNothing(t *testing.T) {
	c, f := begin(t, "good"), picture(64, 48, 9)
	taken := 0
	allocated := testing.AllocsPerRun(200, func() {
		if c.Offer("door", trial.Seen{}, f) {
			taken++
			c.mu.Lock()
			c.busy = false // as if it had been answered: the socket has room for many
			c.mu.Unlock()
		}
	})
	if allocated != 0 || taken == 0 {
		t.Errorf("%g allocations a picture, %d taken", allocated, taken)
	}
}
