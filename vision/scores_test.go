package vision

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

func TestSoftmax(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name   string
		l      []float32
		want   []float32
		wantOK bool
	}{
		{"equal", []float32{5, 5, 5, 5}, []float32{0.25, 0.25, 0.25, 0.25}, true},
		{"one", []float32{-88}, []float32{1}, true},
		{"known", []float32{0, float32(math.Log(3))}, []float32{0.25, 0.75}, true},
		{"would overflow", []float32{1e38, 1e38, -1e38}, []float32{0.5, 0.5, 0}, true},
		{"would underflow", []float32{-3e38, -3e38}, []float32{0.5, 0.5}, true},
		{"the whole range", []float32{-math.MaxFloat32, math.MaxFloat32}, []float32{0, 1}, true},
		{"NaN", []float32{1, nan}, []float32{0, 0}, false},
		{"infinity", []float32{1, inf}, []float32{0, 0}, false},
		{"minus infinity", []float32{1, -inf}, []float32{0, 0}, false},
		{"empty", nil, nil, false},
	} {
		got := slices.Repeat([]float32{-7}, len(c.l)+1)
		ok := Softmax(got, c.l)
		if ok != c.wantOK {
			t.Errorf("%s: got ok %t, want %t", c.name, ok, c.wantOK)
		}
		for i, want := range c.want {
			if math.Abs(float64(got[i]-want)) > 1e-6 {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		}
		if got[len(c.l)] != -7 {
			t.Errorf("%s: wrote behind the last logit", c.name)
		}
	}
}

// floats reads fuzz bytes as 32-bit floats of every kind.
func floats(b []byte) []float32 {
	var l []float32
	for ; len(b) >= 4 && len(l) < 200; b = b[4:] {
		l = append(l, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return l
}

func FuzzSoftmax(f *testing.F) {
	f.Add([]byte("\x00\x00\x80?\x00\x00\x00\xc0\x00\x00\x00B"))
	f.Add([]byte("\x00\x00\x80\x7f\x00\x00\x00\xc0"))
	f.Add([]byte("\xff\xff\x7f\x7f\xff\xff\x7f\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := floats(b)
		finite := len(l) > 0
		for _, v := range l {
			finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
		}
		p := make([]float32, len(l))
		if ok := Softmax(p, l); ok != finite {
			t.Fatalf("%v: got ok %t, want %t", l, ok, finite)
		}
		sum := 0.0
		for i := range p {
			if !(p[i] >= 0 && p[i] <= 1) {
				t.Fatalf("%v: score %d is %g", l, i, p[i])
			}
			for j := range p {
				if finite && l[i] > l[j] && p[i] < p[j] {
					t.Fatalf("%v: the order of %d and %d is lost in %v", l, i, j, p)
				}
			}
			sum += float64(p[i])
		}
		if finite && math.Abs(sum-1) > 1e-5 {
			t.Fatalf("%v: scores sum to %g", l, sum)
		}
		if Softmax(l, l); !slices.Equal(l, p) {
			t.Fatalf("in place: got %v, want %v", l, p)
		}
	})
}

func TestTopK(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name   string
		scores []float32
		k      int
		want   []int
	}{
		{"best first", []float32{0.1, 0.7, 0.2}, 2, []int{1, 2}},
		{"all of fewer", []float32{0.1, 0.7}, 5, []int{1, 0}},
		{"equal ones in order", []float32{1, 2, 1, 2, 2}, 4, []int{1, 3, 4, 0}},
		{"none", []float32{1}, 0, nil},
		{"negative k", []float32{1}, -1, nil},
		{"of nothing", nil, 3, nil},
		{"NaN never", []float32{nan, 1, nan, 3}, 3, []int{3, 1}},
		{"rising", []float32{1, 2, 3, 4}, 2, []int{3, 2}},
		{"falling", []float32{4, 3, 2, 1}, 2, []int{0, 1}},
	} {
		if got := TopK([]int{9, 9}, c.scores, c.k); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TopK is the head of a stable sort.
func FuzzTopK(f *testing.F) {
	f.Add([]byte("\x00\x00\x80?\x00\x00\x00\xc0\x00\x00\x80?"), 2)
	f.Add([]byte("\x00\x00\xc0\x7f\x00\x00\x00\x80\x00\x00\x00\x00"), 9)
	f.Fuzz(func(t *testing.T, b []byte, k int) {
		scores := floats(b)
		var want []int
		for i, s := range scores {
			if s == s {
				want = append(want, i)
			}
		}
		slices.SortStableFunc(want, func(i, j int) int {
			switch {
			case scores[i] > scores[j]:
				return -1
			case scores[i] < scores[j]:
				return 1
			}
			return 0
		})
		want = want[:max(0, min(k, len(want)))]
		if got := TopK(nil, scores, k); !slices.Equal(got, want) {
			t.Fatalf("%v, %d: got %v, want %v", scores, k, got, want)
		}
	})
}

func TestSigmoid(t *testing.T) {
	got := make([]float32, 3)
	if !ScoresSigmoid.Apply(got, []float32{0, float32(math.Log(3)), -1000}) || got[0] != 0.5 ||
		math.Abs(float64(got[1])-0.75) > 1e-7 || got[2] != 0 {
		t.Errorf("got %v, want 0.5 0.75 0", got)
	}
	if ScoresSigmoid.Apply(got, []float32{0, float32(math.Inf(1)), 0}) || got[0] != 0 {
		t.Errorf("infinity gave %v", got)
	}
	if !Scores("").Apply(got, []float32{0, 0, 0}) || math.Abs(float64(got[0])-1.0/3) > 1e-7 {
		t.Errorf("without a word: %v, want a softmax", got)
	}
}
