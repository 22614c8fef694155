package mqtt

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A million random steps: what leaves the queue is what came in, in order, but for what was counted lost.
func TestQueue(t *testing.T) {
	q := newQueue(8)
	random := rand.New(rand.NewPCG(1, 2))
	var seq, told, delivered uint64
	var flights []uint64 // positions
	var expect uint64 = 1
	for range 1_000_000 {
		switch random.IntN(8) {
		case 0, 1, 2:
			seq++
			q.push(seq).payload = append([]byte(nil), byte(seq))
		case 3, 4:
			if r, pos := q.next(); r != nil {
				if r.payload[0] != byte(r.seq) {
					t.Fatalf("record %d has the payload of another", r.seq)
				}
				flights = append(flights, pos)
			}
		case 5, 6:
			if len(flights) > 0 {
				if pos := flights[0]; pos >= q.head { // else it was dropped meanwhile, and counted
					r := q.at(pos)
					for expect < r.seq && q.lost.count > 0 && expect >= q.lost.from && expect <= q.lost.to {
						expect++
						told++
					}
					if r.seq != expect {
						t.Fatalf("acknowledged %d, expected %d; lost %+v", r.seq, expect, q.lost)
					}
					expect++
					delivered++
				}
				q.acked(flights[0])
				flights = flights[1:]
			}
		case 7:
			if random.IntN(10) == 0 {
				q.rewind()
				flights = nil
			}
		}
	}
	if delivered < 10_000 || told < 1000 {
		t.Fatalf("the test did not test: %d delivered, %d lost", delivered, told)
	}
	if got := delivered + q.lost.count + uint64(q.waiting()); got != seq {
		t.Errorf("%d delivered, %d lost, %d waiting: %d, not %d", delivered, q.lost.count, q.waiting(), got, seq)
	}
}

// A queue_dropped record that is dropped itself hands its count back.
func TestLossIsNotLost(t *testing.T) {
	q := newQueue(2)
	q.push(5).lost = loss{count: 4, from: 1, to: 4}
	q.push(6)
	q.push(7)
	if want := (loss{count: 5, from: 1, to: 5}); q.lost != want {
		t.Errorf("got %+v, want %+v", q.lost, want)
	}
}

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
