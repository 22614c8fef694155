package prune

import (
	"errors"
	"math"
	"testing"

	"github.com/vggse/vggse-agent/vgg16se"
)

// blocks is a machine whose kernels take channels sixteen at a time, with a little noise.
func blocks(step int) func(width int) (float64, error) {
	calls := 0
	return func(width int) (float64, error) {
		calls++
		return float64((width+15)/16*16) * (1 + 0.003*math.Abs(math.Sin(float64(calls*step)))), nil
	}
}

// TestCurve: what noise gives to channels that cost nothing more is taken back, what blocks take is
// seen, and no layer is slower than a wider one.
func TestCurve(t *testing.T) {
	for _, width := range []int{16, 24, 64, 128, 512} {
		c, err := curve(width, 8, blocks(8))
		if err != nil {
			t.Fatal(err)
		}
		shares(c)
		stride := (len(c) + timedWidths - 1) / timedWidths
		for i := range c {
			w := min(width, (i+stride)/stride*stride*8)
			want := float64((w+15)/16) / float64((width+15)/16)
			if math.Abs(c[i]-want) > 0.02 {
				t.Errorf("%d of %d channels take %.3f of the time, want %.3f", w, width, c[i], want)
			}
			if w == (i+1)*8 && w%16 == 8 && i+1 < len(c) && c[i] != c[i+1] {
				t.Errorf("%d of %d channels take %.4f, 8 more %.4f: one block", w, width, c[i], c[i+1])
			}
		}
	}
	broken := errors.New("no such machine")
	if _, err := curve(16, 8, func(int) (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// synthetic is a study of a network all of whose channels say something, the first to go the least.
func synthetic() *Analysis {
	a := explicit(vgg16se.Architecture{InputSize: 64, Width: 0.25, Reduction: 16, Hidden: 64, PoolSize: 2, Classes: 13})
	s := &Analysis{network: &VGG{Arch: a}}
	for i, w := range append(a.Channels[:a.Convolutions()], a.Hidden, a.Hidden) {
		r := removal{cost: []float64{0}}
		for k := range w {
			r.cost = append(r.cost, r.cost[k]+math.Pow(float64(k+1)/float64(w), 2)/float64(w))
		}
		r.order = upTo(w)
		s.groups = append(s.groups, group{width: w, index: i, taps: 9})
		s.Groups, s.removal = append(s.Groups, GroupAnalysis{Width: w, Sensitivity: 1 + float64(i%3)}),
			append(s.removal, r)
	}
	return s
}

// TestExchange: widths stay multiples of the step, or as they were, and none is zero or beyond what
// it was.
func TestExchange(t *testing.T) {
	s := synthetic()
	s.groups[3].width, s.groups[13].width = 28, 60 // no multiples
	s.Groups[5].Sensitivity = 0
	widths := Plan(full(s)).Widths()
	for i := range widths {
		if widths[i] > 24 && i != 3 && i != 5 && i != 13 {
			widths[i] -= 16
		}
	}
	macs := s.macs(widths)
	for n := 0; s.exchange(widths, 8, macs); n++ {
		if n > 1000 {
			t.Fatalf("no end: %v", widths)
		}
		for i, w := range widths {
			if full := s.groups[i].width; w < 8 || w > full || w%8 != 0 && w != full || i == 5 && w != full {
				t.Fatalf("group %d of %d channels has %d", i, full, w)
			}
		}
		if s.macs(widths) > macs {
			t.Fatalf("%.0f multiply-adds, at most %.0f", s.macs(widths), macs)
		}
	}
}

// TestPlanSavesTime: on a machine that takes channels in blocks the plan keeps to the multiply-adds
// and is quicker than the one that counts only those; without times the answers lose less.
func TestPlanSavesTime(t *testing.T) {
	s := synthetic()
	all := s.macs(Plan(full(s)).Widths())
	plain, err := s.Plan(int64(all/2), 8)
	if err != nil {
		t.Fatal(err)
	}
	in := 3
	for k := range len(s.groups) + 1 {
		lt := layerTime{full: 1e-6, step: 8}
		if k < len(s.groups) {
			lt.full = float64(in*s.groups[k].width) * 1e-8
			lt.out, _ = curve(s.groups[k].width, 8, blocks(k+1))
			shares(lt.out)
		}
		if k > 0 {
			lt.in, _ = curve(s.groups[k-1].width, 8, blocks(k+2))
			shares(lt.in)
		}
		s.times = append(s.times, lt)
		if k < len(s.groups) {
			in = s.groups[k].width
		}
	}
	timed, err := s.Plan(int64(all/2), 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Plan{plain, timed} {
		if m := s.macs(p.Widths()); m > all/2 || m < 0.45*all {
			t.Errorf("%v: %.1f of %.1f million multiply-adds", p.Widths(), m/1e6, all/1e6)
		}
	}
	if a, b := s.seconds(timed.Widths()), s.seconds(plain.Widths()); a >= b {
		t.Errorf("%v takes %.3g s, %v takes %.3g", timed.Widths(), a, plain.Widths(), b)
	}
	lost := func(p Plan) (sum float64) {
		for i, w := range p.Widths() {
			sum += s.loss(i, w)
		}
		return sum
	}
	if a, b := lost(timed), lost(plain); a < b {
		t.Errorf("%v loses %.4g, %v loses %.4g", timed.Widths(), a, plain.Widths(), b)
	}
	t.Logf("%v: %.4g s, %.4g lost", plain.Widths(), s.seconds(plain.Widths()), lost(plain))
	t.Logf("%v: %.4g s, %.4g lost", timed.Widths(), s.seconds(timed.Widths()), lost(timed))
}

func full(s *Analysis) (p [][]int) {
	for _, g := range s.groups {
		p = append(p, upTo(g.width))
	}
	return p
}
