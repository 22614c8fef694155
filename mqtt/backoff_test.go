package mqtt

import (
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
		{0, 0, time.Second}, {1, time.Second, 2 * time.Second}, {3, time.Second, 8 * time.Second}, {4, time.Second, 15 * time.Second},
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
