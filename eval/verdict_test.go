package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
)

// The verdict counts agreement and top-1, the classes that changed, where answers went, and what is
// no number.
func TestVerdict(t *testing.T) {
	rows := []row{
		compare(0, logitsFor(0, 7), logitsFor(0, 7)),
		compare(0, logitsFor(0, 7), logitsFor(2, 7)),
		compare(0, logitsFor(0, 7), logitsFor(2, 7)),
		compare(1, logitsFor(3, 7), logitsFor(1, 7)),
		compare(5, logitsFor(5, 7), noNumbers),
		compare(-1, logitsFor(6, 7), logitsFor(6, 0)),
	}
	v := verdict(slices.Clone(rows))
	if v.Images != 6 || v.Agreement != NewShare(2, 6) || v.NaN != 1 || v.MaxDiff < 9 || v.SQNR >= 200 {
		t.Errorf("%+v", v)
	}
	if *v.Top1 != NewShare(2, 5) || *v.Top1FP32 != NewShare(4, 5) || *v.Top5FP32 != NewShare(4, 5) {
		t.Errorf("top-1 %+v, of FP32 %+v, top-5 %+v", *v.Top1, *v.Top1FP32, *v.Top5FP32)
	}
	if want := []Flip{{Class: 0, Images: 3, FP32: 3, Here: 1}, {Class: 1, Images: 1, Here: 1},
		{Class: 5, Images: 1, FP32: 1}}; !reflect.DeepEqual(v.Classes, want) {
		t.Errorf("classes %+v, want %+v", v.Classes, want)
	}
	if want := []Move{{From: 0, To: 2, Count: 2}, {From: 3, To: 1, Count: 1}, {From: 5, To: -1,
		Count: 1}}; !reflect.DeepEqual(v.Moves, want) {
		t.Errorf("moves %+v, want %+v", v.Moves, want)
	}
	slices.Reverse(rows)
	if again := verdict(rows); !reflect.DeepEqual(again, v) {
		t.Errorf("the order of the pictures shows: %+v, %+v", again, v)
	}
}

// Without labels nothing is said of top-1; without a change nothing of classes and moves.
func TestVerdictWithoutLabels(t *testing.T) {
	v := verdict([]row{compare(-1, logitsFor(1, 0), logitsFor(1, 0))})
	if v.Top1 != nil || v.Top5 != nil || v.Top1FP32 != nil || v.Classes != nil || len(v.Moves) != 0 || v.SQNR != 200 ||
		math.Abs(v.Cosine-1) > 1e-12 || v.MaxDiff != 0 {
		t.Errorf("%+v", v)
	}
}

// A long list of moves is cut, the most frequent stay, in an order that does not change.
func TestMostMoved(t *testing.T) {
	counts := map[[2]int]int{}
	for i := range 30 {
		counts[[2]int{i % 6, i}] = 1 + i/10
	}
	moves := mostMoved(counts)
	if len(moves) != mostMoves || moves[0].Count != 3 || moves[mostMoves-1].Count != 2 {
		t.Errorf("%d moves, from %+v to %+v", len(moves), moves[0], moves[len(moves)-1])
	}
	if !slices.IsSortedFunc(moves, func(a, b Move) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return (a.From-b.From)*100 + a.To - b.To
	}) {
		t.Errorf("%+v", moves)
	}
}

// compare measures the distance of two answers; what is no number is off by all of it.
func TestCompareRows(t *testing.T) {
	r := compare(1, []float32{3, 4}, []float32{3, 2})
	if r.signal != 25 || r.noise != 4 || r.diff != 2 || math.Abs(r.cos-17/(5*math.Sqrt(13))) > 1e-12 || r.nan ||
		r.fp32.top != 1 || r.own.top != 0 {
		t.Errorf("%+v", r)
	}
	r = compare(1, []float32{3, 4}, []float32{3, float32(math.Inf(1))})
	if !r.nan || r.own.top != -1 || r.own.top5 || r.noise != 16 {
		t.Errorf("%+v", r)
	}
	if r = compare(0, []float32{0, 0}, []float32{0, 0}); r.cos != 0 || r.noise != 0 {
		t.Errorf("%+v", r)
	}
}

// Parallel runs on all workers, and the first error ends the others.
func TestParallel(t *testing.T) {
	var ran atomic.Int32
	err := Parallel(t.Context(), 4, func(context.Context) error { ran.Add(1); return nil })
	if err != nil || ran.Load() != 4 {
		t.Errorf("%d of 4 ran, %v", ran.Load(), err)
	}
	broken := errors.New("no memory")
	err = Parallel(t.Context(), 3, func(ctx context.Context) error {
		if ran.Add(1) == 5 {
			return fmt.Errorf("picture 7: %w", broken)
		}
		<-ctx.Done() // until the other fails
		return ctx.Err()
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Parallel(ctx, 2, func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
