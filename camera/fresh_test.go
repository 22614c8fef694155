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
	start := slices.Clip(steady([][2]time.Duration{{800 * ms, -160 * ms}}, 10)) // ends at 1200, 240
	tests := []struct {
		name   string
		clocks [][2]time.Duration
		want   string // + fresh, - dropped
	}{
		{"steady", start, "-----++++++"},
		{"what waited while opening is dropped", steady([][2]time.Duration{
			{1000 * ms, 40 * ms}, {1001 * ms, 80 * ms}, {1002 * ms, 120 * ms}, {1003 * ms, 160 * ms}, {1040 * ms, 200 * ms}}, 5), "-----" + "---++"},
		{"also by a slow machine", steady([][2]time.Duration{
			{1000 * ms, 40 * ms}, {1030 * ms, 80 * ms}, {1060 * ms, 120 * ms}, {1090 * ms, 160 * ms}, {1120 * ms, 200 * ms}}, 5), "-----" + "----+"},
		{"a reader that is too slow skips what it missed", append(start, [][2]time.Duration{
			{1600 * ms, 280 * ms}, {1601 * ms, 320 * ms}, {1602 * ms, 360 * ms}, {1603 * ms, 400 * ms}, {1604 * ms, 440 * ms},
			{1605 * ms, 480 * ms}, {1606 * ms, 520 * ms}, {1607 * ms, 560 * ms}, {1640 * ms, 600 * ms}}...), "-----++++++" + "-------++"},
		{"a late frame is jitter", append(start, [][2]time.Duration{
			{1330 * ms, 280 * ms}, {1331 * ms, 320 * ms}, {1340 * ms, 360 * ms}}...), "-----++++++" + "+++"},
		{"a very late frame is not", append(start, [][2]time.Duration{
			{1360 * ms, 280 * ms}, {1361 * ms, 320 * ms}, {1370 * ms, 360 * ms}}...), "-----++++++" + "-++"},
		{"a clock that jumps starts anew", append(start, steady([][2]time.Duration{{1240 * ms, 9000 * ms}}, 5)...), "-----++++++" + "-----+"},
		{"also backwards", append(start, steady([][2]time.Duration{{4240 * ms, 10 * ms}}, 5)...), "-----++++++" + "-----+"},
	}
	for _, tt := range tests {
		var s freshness
		got := ""
		for _, c := range tt.clocks {
			got += map[bool]string{true: "+", false: "-"}[s.fresh(c[0], c[1])]
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Where the decoder is too slow for the source, frames still come, though old ones.
func TestFreshnessNeverStarves(t *testing.T) {
	var s freshness
	passed := 0
	for i := range 200 {
		if s.fresh(time.Duration(i)*60*ms, time.Duration(i)*40*ms) {
			passed++
		}
	}
	if passed < 5 || passed > 12 {
		t.Errorf("%d of 200 frames in 12 s passed, want about one in two seconds", passed)
	}
}

// Clocks that differ by 200 parts per million do not make frames look old.
func TestFreshnessForgivesDrift(t *testing.T) {
	var s freshness
	dropped := 0
	for i := range 100_000 {
		now := time.Duration(i) * 33 * ms
		if !s.fresh(now, now-now/5000) {
			dropped++
		}
	}
	if dropped > calm+1 {
		t.Errorf("%d of 100,000 frames were dropped, want the first few", dropped)
	}
}
