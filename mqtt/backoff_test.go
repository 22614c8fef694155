package mqtt

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Waits are spread over their whole range, which doubles up to 15 s, and to 30 s after ten minutes.
func TestBackoff(t *testing.T) {
	longest := func(attempt int, outage time.Duration) time.Duration {
		var most time.Duration
		for range 2000 {
			now := time.Now()
			b := backoff{attempt: attempt, since: now.Add(-outage)}
			most = max(most, b.next(now))
		}
		return most.Round(time.Second)
	}
	for _, c := range []struct {
		attempt int
		outage  time.Duration
		want    time.Duration
	}{
		{0, 0, time.Second}, {1, time.Second, 2 * time.Second}, {3, time.Second, 8 * time.Second},
		{4, time.Second, 15 * time.Second},
		{99, 9 * time.Minute, 15 * time.Second}, {99, 11 * time.Minute, 30 * time.Second},
	} {
		if got := longest(c.attempt, c.outage); got != c.want {
			t.Errorf("attempt %d after %s: at most %s, want %s", c.attempt, c.outage, got, c.want)
		}
	}
	b := backoff{attempt: 9}
	if b.held(29 * time.Second); b.attempt != 9 {
		t.Error("a short connection began the count anew")
	}
	if b.held(30 * time.Second); b.attempt != 0 {
		t.Error("a long connection did not")
	}
}

// M6: from the moment that the broker is back, after an outage of up to nine minutes, the next
// attempt comes within 5 s in half of the cases.
func TestBackoffFindsTheBroker(t *testing.T) {
	const outages = 100_000
	took := make([]time.Duration, outages)
	for i := range took {
		lost := time.Now()
		back := lost.Add(time.Second + rand.N(9*time.Minute))
		var b backoff
		at := lost
		for at.Before(back) {
			at = at.Add(b.next(at))
		}
		took[i] = at.Sub(back)
	}
	slices.Sort(took)
	p50, p99 := took[outages/2], took[outages*99/100]
	t.Logf("%d outages: p50 %s, p99 %s", outages, p50.Round(time.Millisecond), p99.Round(time.Millisecond))
	if p50 > 5*time.Second || p99 > 15*time.Second {
		t.Errorf("p50 %s, p99 %s", p50, p99)
	}
}
