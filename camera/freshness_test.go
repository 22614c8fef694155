package camera

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// steady are n frames, 40 ms apart on both clocks, behind those before.
func steady(clocks [][2]time.Duration, n int) [][2]time.Duration {
	last := clocks[len(clocks)-1]
	for i := range n {
		d := time.Duration(i+1) * 40 * ms
		clocks = append(clocks, [2]time.Duration{last[0] + d, last[1] + d})
	}
	return clocks
}

func TestFreshness(t *testing.T) {
	start := slices.Clip(steady([][2]time.Duration{{1000 * ms, 840 * ms}}, 9)) // ends at 1360, 1200; the lead is 160
	tests := []struct {
		name   string
		clocks [][2]time.Duration
		want   string // + fresh, - dropped
	}{
		{"steady", start, "----++++++"},
		{"what waited while opening is dropped, slowly as it may be read", steady([][2]time.Duration{
			{1000 * ms, 40 * ms}, {1040 * ms, 80 * ms}, {1080 * ms, 120 * ms}, {1120 * ms, 160 * ms},
			{1160 * ms, 200 * ms}, {1200 * ms, 240 * ms},
			{1201 * ms, 600 * ms}, {1202 * ms, 1000 * ms}}, 5), "-------+" + "+++++"},
		{"also where the stream counts from elsewhere", steady([][2]time.Duration{
			{1000 * ms, 2040 * ms}, {1001 * ms, 2080 * ms}, {1030 * ms, 2120 * ms}, {1031 * ms, 2160 * ms}}, 6),
			"----" + "---+++"},
		{"a reader that is too slow skips what it missed", slices.Concat(start, [][2]time.Duration{
			{1760 * ms, 1240 * ms}, {1761 * ms, 1280 * ms}, {1762 * ms, 1320 * ms}, {1763 * ms, 1360 * ms},
			{1764 * ms, 1400 * ms},
			{1765 * ms, 1440 * ms}, {1766 * ms, 1480 * ms}, {1767 * ms, 1520 * ms}, {1800 * ms, 1560 * ms}}),
			"----++++++" + "-------++"},
		{"a late frame is jitter", slices.Concat(start, [][2]time.Duration{
			{1490 * ms, 1240 * ms}, {1491 * ms, 1280 * ms}, {1500 * ms, 1320 * ms}}), "----++++++" + "+++"},
		{"a very late frame is not", slices.Concat(start, [][2]time.Duration{
			{1520 * ms, 1240 * ms}, {1521 * ms, 1280 * ms}, {1530 * ms, 1320 * ms}}), "----++++++" + "-++"},
		{"a clock that leaps starts anew", slices.Concat(start, steady([][2]time.Duration{{1400 * ms, 9000 * ms}}, 5)),
			"----++++++" + "----++"},
		{"also backwards", slices.Concat(start, steady([][2]time.Duration{{4400 * ms, 10 * ms}}, 5)),
			"----++++++" + "----++"},
	}
	for _, tt := range tests {
		s, got := newFreshness(), ""
		for _, c := range tt.clocks {
			got += map[bool]string{true: "+", false: "-"}[s.fresh(c[0], c[1])]
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A stream whose clock is set back, or that counts from long ago, is believed after a while.
func TestFreshnessBelieves(t *testing.T) {
	for _, back := range []time.Duration{150 * ms, 1500 * ms, 40 * time.Second} {
		s, passed := newFreshness(), 0
		for i := range 200 {
			now := time.Minute + time.Duration(i)*40*ms
			if s.fresh(now, now-back) {
				passed++
			}
		}
		if want := 200 - int((catchUp+400*ms)/(40*ms)); passed < want {
			t.Errorf("%v back: %d of 200 frames passed, want at least %d", back, passed, want)
		}
	}
}

// Where the decoder is too slow for the source, frames still come, though old ones.
func TestFreshnessNeverStarves(t *testing.T) {
	s, passed := newFreshness(), 0
	for i := range 200 {
		if s.fresh(time.Duration(i+1)*60*ms, time.Duration(i+1)*40*ms) {
			passed++
		}
	}
	if passed < 20 {
		t.Errorf("%d of 200 frames in 12 s passed, want some", passed)
	}
}

// The first frames of a stream may say no time: they have waited. Where none says it, all are
// believed at last.
func TestFreshnessUntimed(t *testing.T) {
	s := newFreshness()
	for i := range 100 {
		if got, want := s.fresh(time.Duration(i)*40*ms, 0), time.Duration(i)*40*ms > catchUp; got != want {
			t.Errorf("frame %d without a time: fresh = %v, want %v", i, got, want)
		}
	}
}

// Clocks that differ by 200 parts per million do not make frames look old.
func TestFreshnessForgivesDrift(t *testing.T) {
	s, dropped := newFreshness(), 0
	for i := range 100_000 {
		now := time.Duration(i) * 33 * ms
		if !s.fresh(now, now-now/5000) {
			dropped++
		}
	}
	if dropped > 10 {
		t.Errorf("%d of 100,000 frames were dropped, want the first few", dropped)
	}
}

// Frames that come in bunches pass, the newest of each bunch at least.
func TestFreshnessOfBunches(t *testing.T) {
	for _, every := range []time.Duration{80 * ms, 100 * ms, 150 * ms, 200 * ms, 300 * ms, 400 * ms} {
		s, bunches, fresh, newest := newFreshness(), 0, 0, 0
		sent := time.Duration(0)
		for now := time.Second; now < 21*time.Second; now += every {
			passed := false
			for i := 0; sent+40*ms <= now; i++ {
				sent += 40 * ms
				if passed = s.fresh(now+time.Duration(i)*ms, sent); passed && now > 6*time.Second {
					fresh++
				}
			}
			if now > 6*time.Second {
				bunches++
				if passed {
					newest++
				}
			}
		}
		if newest < bunches*9/10 {
			t.Errorf("a bunch each %v: the newest of %d of %d passed, %d frames in all", every, newest, bunches, fresh)
		}
	}
}
