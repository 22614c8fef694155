package mqtt

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
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
	for busy, want := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
		4 * time.Minute, 4 * time.Minute} {
		var most time.Duration
		for range 2000 {
			b := backoff{attempt: 9, busy: busy, since: time.Now()}
			most = max(most, b.next(time.Now()))
		}
		if most.Round(time.Second) != want {
			t.Errorf("%d attempts unanswered: at most %s, want %s", busy, most, want)
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

// Only a broker that takes a connection and does not answer is given more time; a network that is away
// changes nothing, and what fails at once ends it.
func TestBackoffKnowsABusyBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	_, noAnswer := silent.Read(make([]byte, 1))
	noAnswer = fmt.Errorf("%w : %w", packets.ErrorNetworkError, noAnswer) // as paho says it
	_, noWay := (&net.Dialer{Deadline: time.Now().Add(-time.Second)}).Dial("tcp", l.Addr().String())

	var b backoff
	for _, c := range []struct {
		err  error
		busy int
	}{
		{noAnswer, 1}, {noAnswer, 2}, {noWay, 2}, {context.DeadlineExceeded, 3}, // that one: a TLS handshake
		{syscall.ECONNREFUSED, 0}, {noWay, 0}, {noAnswer, 1}, {packets.ErrorRefusedServerUnavailable, 0},
	} {
		if b.failed(c.err); b.busy != c.busy {
			t.Errorf("%v: %d unanswered, want %d", c.err, b.busy, c.busy)
		}
	}
	cfg := Config{Broker: "tcp://broker"}
	if why := cfg.reason(noAnswer); !strings.Contains(why, "does not answer: it has more to do than it can") {
		t.Error(why)
	}
}

// A broker that answers 100 attempts a second, also those that nobody waits for any more, has 10,000
// devices within an hour: those who come again become few enough for it.
func TestBackoffOfAFleet(t *testing.T) {
	const devices, perSecond, queue = 10_000, 100, 4096
	waits, at := make([]backoff, devices), make([]time.Duration, devices) // of the next attempt
	type caller struct {
		device int
		since  time.Duration
	}
	var line []caller
	connected := 0
	start := time.Now()
	for i := range at {
		at[i] = waits[i].next(start)
	}
	late := fmt.Errorf("no answer: %w", os.ErrDeadlineExceeded)
	for now := time.Duration(0); connected < devices && now < time.Hour; now += time.Second {
		for i := range at {
			if at[i] > now {
				continue
			}
			if len(line) < queue {
				line = append(line, caller{i, now})
				waits[i].failed(late) // unless it is answered before
			}
			at[i] = now + dialTimeout + waits[i].next(start.Add(now))
		}
		for _, c := range line[:min(perSecond, len(line))] {
			if now-c.since < dialTimeout {
				connected++
				at[c.device] = time.Duration(math.MaxInt64)
			}
		}
		line = line[min(perSecond, len(line)):]
	}
	if connected < devices {
		t.Errorf("%d of %d are connected after an hour", connected, devices)
	}
}
