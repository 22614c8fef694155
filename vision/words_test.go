package vision

import (
	"reflect"
	"testing"
	"time"
)

func TestFrameResize(t *testing.T) {
	var f Frame
	for _, c := range []struct {
		width, height int
		grows         bool
	}{{4, 3, true}, {2, 2, false}, {4, 3, false}, {5, 3, true}, {0, 0, false}} {
		room := cap(f.Pix)
		f.Resize(c.width, c.height)
		if f.Width != c.width || f.Height != c.height || f.Stride != 3*c.width || len(f.Pix) != 3*c.width*c.height {
			t.Errorf("%d×%d: got %d×%d, stride %d, %d bytes", c.width, c.height, f.Width, f.Height, f.Stride,
				len(f.Pix))
		}
		if grew := cap(f.Pix) > room; grew != c.grows {
			t.Errorf("%d×%d: got grown %t, want %t", c.width, c.height, grew, c.grows)
		}
	}
}

func TestFrameOf(t *testing.T) {
	var f Frame
	f.Resize(3, 2)
	for i := range f.Pix {
		f.Pix[i] = byte(i * 14)
	}
	if got := FrameOf(f.Image()); !reflect.DeepEqual(got, &f) {
		t.Errorf("there and back: %+v, want %+v", got, f)
	}
}

func TestNewTensor(t *testing.T) {
	in := NewTensor(2, 3, 5, 7)
	if want := [4]int64{2, 3, 5, 7}; in.Shape != want || len(in.Data) != 2*3*5*7 {
		t.Errorf("got shape %v with %d floats, want %v with %d", in.Shape, len(in.Data), want, 2*3*5*7)
	}
}

func TestDecisionCopyTo(t *testing.T) {
	from := &Decision{Camera: "gate", Frame: 7, Time: time.Unix(5, 0), Changed: true,
		Top: []Class{{"bolt", 0, 0.75}, {"nut", 1, 0.25}}, Stable: Class{"bolt", 0, 0.75}, Before: Class{"nut", 1, 0.5}}
	to := &Decision{Top: make([]Class, 5, 8)}
	if got := testing.AllocsPerRun(10, func() { from.CopyTo(to) }); got != 0 {
		t.Errorf("got %g allocations, want 0", got)
	}
	if !reflect.DeepEqual(from, to) {
		t.Errorf("got %+v, want %+v", to, from)
	}
	from.Top[0].Label = "changed"
	if to.Top[0].Label != "bolt" {
		t.Error("the copy shares memory with its source")
	}
}

func TestDecisionMargin(t *testing.T) {
	for _, c := range []struct {
		top  []Class
		want float32
	}{
		{nil, 1},
		{[]Class{{Score: 0.3}}, 1},
		{[]Class{{Score: 0.5}, {Score: 0.25}, {Score: 0.25}}, 0.25},
	} {
		if got := (&Decision{Top: c.top}).Margin(); got != c.want {
			t.Errorf("%v: got %g, want %g", c.top, got, c.want)
		}
	}
}
