package pipeline

import (
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// One picture in drift_every is asked; other pictures drift, those of before end it, another model begins
// anew, and none of it allocates.
func TestDriftWatch(t *testing.T) {
	k, err := vision.NewKnown([]float32{1, 0, 0, 1}, []float32{1, 0}, make([]float32, 99), 2)
	if err != nil {
		t.Fatal(err)
	}
	if k.Channels, err = vision.NewKnown([]float32{1, 0, 0, 1}, []float32{1, 0}, make([]float32, 99), 2); err != nil {
		t.Fatal(err)
	}
	v := &binding{known: k, levels: make([]float32, 2), levelRoom: make([]float32, 2)}
	s := vision.SignalSizes{Features: 2, Channels: []int{2}}.New()
	var w driftWatch
	now := time.Now()
	look := func(n int, p float32) (news int) {
		for range n {
			for range 3 { // of three in 30 s, one is asked
				if w.look(v, 30*time.Second, now, p, s) {
					news++
				}
				now = now.Add(10 * time.Second)
			}
		}
		return news
	}
	if n := look(8, 0.5); n != 0 || w.told.Is() || !w.told.Watched { // by its channels strange, 8 times
		t.Errorf("%d news, %+v", n, w.told)
	}
	if n := look(1, 0.5); n != 1 || w.told.Features || !w.told.Channels || w.told.Score != 1 {
		t.Errorf("%d news, %+v", n, w.told)
	}
	if n := look(20, 0.01); n != 0 || !w.told.Features || w.told.Score != 1 {
		t.Errorf("%d news, %+v", n, w.told)
	}
	if n := testing.AllocsPerRun(100, func() { look(1, 0.01) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	other := *k
	v = &binding{known: &other, levels: v.levels, levelRoom: v.levelRoom}
	if look(1, 0.5); w.told.Is() || w.told.Score > 0.2 {
		t.Errorf("with another model: %+v", w.told)
	}
	if w.look(v, 0, now.Add(time.Hour), 0.01, s) || w.look(&binding{}, time.Second, now, 0, nil) || w.told.Watched {
		t.Errorf("switched off, or without a reference: %+v", w.told)
	}
}
