package teach

import (
	"errors"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

func TestGroups(t *testing.T) {
	seen := func(class int, hash uint64, x ...float32) example {
		return example{class: class, hash: hash, views: [][]float32{x}}
	}
	examples := []example{
		seen(0, 0, 1, 0),                // 0: 10:15, camera a
		seen(0, 0xffff, 0, 1),           // 1: the same minute and camera
		seen(0, 0xff00ff, 1, 1),         // 2: the next minute
		seen(1, 0x3, 1, 0.01),           // 3: shows what 0 shows, under another label
		seen(0, 0x1, 1, 0.001),          // 4: a copy of 0
		seen(1, 0xf0f0f0, 1, 0),         // 5: the same features, another picture
		{class: 1, err: errors.New("")}, // 6
		seen(1, 0xffff0000, 0.3, 1),     // 7: 10:15, camera b
	}
	for i := range examples {
		examples[i].picture = i
	}
	paths := []string{"x/20261129T101502.000Z-a-nut-0.500.png", "20261129T101559.999Z-a-bolt-0.900.png",
		"20261129T101600.000Z-a-nut-0.5.png", "holiday.png", "copy.jpg", "other.jpg", "broken.png",
		"20261129T101502.000Z-b-nut-0.500.png"}
	n := group(examples, paths)
	var groups []int
	var copies []bool
	for _, e := range examples {
		groups, copies = append(groups, e.group), append(copies, e.copy)
	}
	if want := []int{0, 0, 1, 0, 0, 3, -1, 2}; n != 4 || !slices.Equal(groups, want) {
		t.Errorf("%d groups: %v, not %v", n, groups, want)
	}
	if want := []bool{4: true, 7: false}; !slices.Equal(copies, want) {
		t.Errorf("copies %v, not %v", copies, want)
	}
}

func TestFolds(t *testing.T) {
	var examples []example
	for i := range 60 { // 3 classes; pairs of pictures are of one moment
		examples = append(examples, example{picture: i, class: i / 20, group: i / 2, views: [][]float32{{1}}})
	}
	examples[7].copy, examples[8].err = true, errors.New("")
	old, err := vision.NewHead(nil, []float32{1, 2, 3}, []float32{0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	l := newLearner(examples, 3, 1, old)
	if l.folds != 5 || l.few || l.fold[8] != -1 {
		t.Fatalf("%+v", l)
	}
	for fold := range l.folds {
		inside, count := map[int]bool{}, make([]int, 3)
		for _, e := range l.part(fold, 1) {
			inside[e.group] = true
			count[e.class]++
			if e.copy || e.err != nil {
				t.Errorf("fold %d: picture %d takes part", fold, e.picture)
			}
		}
		for i, e := range examples {
			if l.fold[i] == fold && inside[e.group] {
				t.Errorf("fold %d: moment %d stands on both sides", fold, e.group)
			}
		}
		if slices.Min(count) < 14 {
			t.Errorf("fold %d: %v", fold, count)
		}
		if half := l.part(fold, 0.5); len(half) < 23 || len(half) > 26 {
			t.Errorf("fold %d: half are %d", fold, len(half))
		}
	}
	if few := newLearner(examples[16:24], 3, 1, old); !few.few {
		t.Error("4 pictures of a class are enough for regression")
	}
}
