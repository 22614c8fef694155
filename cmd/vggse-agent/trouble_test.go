package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var trouble = flag.Duration("trouble", 3*time.Second,
	"length of each trouble of TestTroubleDropsNothing; from 20s on (make soak) not one frame more may be dropped")

// soak is the length from which on figures that depend on the machine count.
const soak = 20 * time.Second

const troubleFPS = 15

// troubled is an agent, and everything around it that can fail.
type troubled struct {
	*testing.T
	broker  *mosquitto
	way     *ledger
	disk    string // a small file system of its own
	metrics string // URL
	pid     int
}

// metric is the sum of a metric over its labels.
func (a *troubled) metric(name string) (sum float64) {
	a.Helper()
	answer, err := http.Get(a.metrics)
	if err != nil {
		a.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		a.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(text, -1)
	if found == nil {
		a.Fatalf("no metric %s", name)
	}
	for _, f := range found {
		v, err := strconv.ParseFloat(string(f[1]), 64)
		if err != nil {
			a.Fatal(err)
		}
		sum += v
	}
	return sum
}

// until waits for a metric to get a value.
func (a *troubled) until(name string, want float64) (took time.Duration) {
	a.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		took = time.Since(began)
		if a.metric(name) == want {
			return took
		}
		if took > patience {
			a.Fatalf("%s is not %g within %s", name, want, patience)
		}
	}
}

// classified waits until so many frames have been classified.
func (a *troubled) classified(n float64) {
	a.Helper()
	end := time.Now().Add(patience)
	for ; a.metric("vggse_frames_classified_total") < n; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			a.Fatalf("fewer than %g frames are classified after %s", n, patience)
		}
	}
}

// resident is the agent's resident memory.
func (a *troubled) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", a.pid))
	if err != nil {
		a.Fatal(err)
	}
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// flood publishes malformed commands through a real client, as many as it can.
func (a *troubled) flood(ctx context.Context) (sent int) {
	random := rand.New(rand.NewPCG(3, 3))
	for ctx.Err() == nil && sent < 100_000 {
		var lines strings.Builder
		for range 1000 {
			b := []byte(`{"id":"a","name":"restart","args":{},"ts":"2026-01-01T00:00:00Z"}`)
			for range 1 + random.IntN(6) {
				b[random.IntN(len(b))] = byte(33 + random.IntN(90))
			}
			lines.Write(append(b, '\n'))
		}
		topic := []string{"command", "camera/enabled/set", "camera/threshold/set"}[random.IntN(3)]
		pub := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(a.broker.port), "-q", "1", "-l", "-t",
			"vggse/edge/"+topic)
		pub.Stdin = strings.NewReader(lines.String())
		if said, err := pub.CombinedOutput(); err != nil {
			a.Fatalf("%v: %s", err, said)
		}
		sent += 1000
	}
	return sent
}

// impostor is a broker that takes every client, and then sends noise.
func impostor(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		random := rand.New(rand.NewPCG(4, 4))
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			noise := []byte{0x20, 2, 0, 0, 0x30, 0xff, 0xff, 0xff, 0x7f}
			for range random.IntN(2000) {
				noise = append(noise, byte(random.Uint32()))
			}
			c.Write(noise[:4+random.IntN(len(noise)-4)])
			time.AfterFunc(100*time.Millisecond, func() { c.Close() })
		}
	}()
	return l
}

// startTroubled runs an agent whose state folder is a file system of 32 MiB, where the test may
// mount one.
func startTroubled(t *testing.T) *troubled {
	broker := startMosquitto(t)
	a := &troubled{T: t, broker: broker, way: startLedger(t, broker.addr()), disk: t.TempDir()}
	if err := unix.Mount("vggse-test", a.disk, "tmpfs", 0, "size=32m"); err != nil {
		t.Skip("mounting needs root: ", err)
	}
	t.Cleanup(func() { unix.Unmount(a.disk, unix.MNT_DETACH) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.metrics = "http://" + l.Addr().String() + "/metrics"
	agent := []string{"run", "--bundle", "../../demo/bundle", "--source",
		fmt.Sprintf("demo://parts?fps=%d&seed=3&width=640&height=360", troubleFPS),
		"--broker", "tcp://" + a.way.addr(), "--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set",
		"state_dir=" + a.disk,
		"--set", "mqtt.spool.min_free=0", "--set", "http.listen=" + l.Addr().String(), "--log-level", "error"}
	l.Close()
	a.pid = startAgent(t, agent...).Process.Pid
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get(a.metrics); err == nil {
			answer.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the agent does not answer")
		}
	}
	a.until("vggse_broker_connected", 1)
	a.classified(troubleFPS)
	return a
}

// TestTroubleDropsNothing: at 15 frames a second the agent drops not one more while the broker is
// dead, hostile, or floods it with nonsense, while the network is cut, and while the disk is full;
// and each of those heals by itself.
func TestTroubleDropsNothing(t *testing.T) {
	a := startTroubled(t)
	filler := filepath.Join(a.disk, "filler")
	calm := 0.0
	during := func(what string, act func(ctx context.Context)) {
		t.Helper()
		skipped, classified, before := a.metric("vggse_frames_skipped_total"),
			a.metric("vggse_frames_classified_total"), a.resident()
		ctx, cancel := context.WithTimeout(t.Context(), *trouble)
		defer cancel()
		began := time.Now()
		act(ctx)
		<-ctx.Done()
		a.classified(classified + 3) // it goes on
		frames := a.metric("vggse_frames_classified_total") - classified
		fps := frames / time.Since(began).Seconds()
		skipped = a.metric("vggse_frames_skipped_total") - skipped
		t.Logf("%-28s %5.0f frames, %.1f/s, %.0f dropped, RSS %+d KiB", what, frames, fps, skipped,
			(a.resident()-before)>>10)
		if what == "calm" {
			calm = max(calm, skipped)
		}
		if *trouble >= soak && skipped > calm {
			t.Errorf("%s: %.0f frames dropped, %.0f in calm", what, skipped, calm)
		}
		if *trouble >= soak && fps < 1 { // a loaded machine draws the demo's conveyor slowly
			t.Errorf("%s: %.1f frames a second", what, fps)
		}
	}
	nothing := func(context.Context) {}
	during("calm", nothing)
	during("disk full, broker dead", func(context.Context) {
		if err := os.WriteFile(filler, make([]byte, 64<<20), 0o600); err == nil {
			t.Fatal("the disk is not full")
		}
		a.broker.kill()
		t.Logf("memory mode %s after the loss of broker and disk",
			a.until("vggse_queue_disk_failing", 1).Round(50*time.Millisecond))
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	during("disk well, broker dead", nothing)
	a.broker.start(t)
	during("network cut every second", func(ctx context.Context) {
		for ctx.Err() == nil {
			a.way.set(true)
			time.Sleep(500 * time.Millisecond)
			a.way.set(false)
			time.Sleep(500 * time.Millisecond)
		}
	})
	enemy := impostor(t)
	during("hostile broker", func(context.Context) { a.way.lead(enemy.Addr().String(), true) })
	a.way.lead(a.broker.addr(), false)
	a.until("vggse_broker_connected", 1)
	a.until("vggse_queue_records", 0)
	sent := 0
	during("malformed commands", func(ctx context.Context) { sent = a.flood(ctx) })
	during("calm again", nothing)
	a.until("vggse_queue_disk_failing", 0)
	a.until("vggse_queue_records", 0)
	if lost := a.metric("vggse_queue_dropped_total"); lost != 0 {
		t.Errorf("%.0f records lost", lost)
	}
	t.Logf("%d malformed commands; all records delivered", sent)
}
