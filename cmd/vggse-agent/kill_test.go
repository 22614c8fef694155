package main

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
)

var lives = flag.Int("lives", 6, "lives of TestKilledAgent (make soak: 50)")

// window is how many records the link sends without an acknowledgement.
const window = 20

// killing is one agent, its broker and the way between them, killed and cut again and again.
type killing struct {
	*testing.T
	broker   *mosquitto
	way      *ledger
	spool    string
	args     []string
	random   *rand.Rand
	accepted map[uint64]string // numbers of the records that a kill has found on disk, and their payloads
	losses   int               // times that a connection may have been lost
}

func (k *killing) nap(least, most int) {
	time.Sleep(time.Duration(least+k.random.IntN(most-least)) * time.Millisecond)
}

// life is one of the whole agent: in a third of them the broker is killed, in another third the way
// is cut, in every sixth it stays cut until more than a window waits on disk, and in every ninth
// there is none; at its end the agent is killed, and what it leaves on disk is written down.
func (k *killing) life(n int) {
	k.way.set(n%9 == 8)
	before := k.last()
	agent := startAgent(k.T, k.args...)
	for end := time.Now().Add(patience); k.last() == before && n%9 != 8; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			k.Fatalf("life %d: nothing was published in %s", n, patience)
		}
	}
	if n%9 == 8 {
		k.nap(2000, 3000)
	}
	k.nap(200, 800)
	k.losses++
	switch n % 3 {
	case 1:
		k.broker.kill()
		k.nap(100, 1500)
		if k.random.IntN(2) == 0 {
			k.broker.start(k.T)
			k.nap(1, 1500)
		}
		k.losses++
	case 2:
		k.way.set(true)
		k.nap(100, 1500)
		k.way.set(k.random.IntN(2) == 0)
		k.nap(1, 1500)
		k.losses++
	}
	if n%6 == 5 {
		k.way.set(true)
		k.outlast(n)
	}
	agent.Process.Kill()
	agent.Wait()
	if n%3 == 1 {
		k.broker.kill()
		k.broker.start(k.T)
	}
	if _, err := spool.Inspect(k.spool,
		func(r *spool.Record) bool { k.accepted[r.Seq] = string(r.Payload); return true }); err != nil {
		k.Fatal(err)
	}
}

// outlast waits until more than a window of records waits on disk, however slow the machine is.
func (k *killing) outlast(n int) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		sum, err := spool.Inspect(k.spool, nil)
		if err != nil {
			k.Fatal(err)
		}
		if sum.Records > window {
			return
		}
		if time.Now().After(end) {
			k.Fatalf("life %d: %d records wait on disk after %s without a broker", n, sum.Records, patience)
		}
	}
}

// last is the number of the record that was delivered last.
func (k *killing) last() uint64 {
	k.way.mu.Lock()
	defer k.way.mu.Unlock()
	if n := len(k.way.all); n > 0 {
		return k.way.all[n-1].seq
	}
	return 0
}

// missing are the accepted records that have not been delivered.
func (k *killing) missing() (n int) {
	k.way.mu.Lock()
	defer k.way.mu.Unlock()
	came := make(map[uint64]bool, len(k.way.all))
	for _, d := range k.way.all {
		came[d.seq] = true
	}
	for seq := range k.accepted {
		if !came[seq] {
			n++
		}
	}
	return n
}

// judge looks at what the broker has acknowledged over all lives.
func (k *killing) judge() (records, repeated, gone int) {
	k.way.mu.Lock()
	defer k.way.mu.Unlock()
	first := make(map[uint64]delivery)
	before := map[bool]uint64{} // a long backlog and what is new go side by side, each in its order
	last := uint64(0)
	for _, d := range k.way.all {
		if f, again := first[d.seq]; again {
			repeated++
			if f.said != d.said {
				k.Errorf("record %d came again with another payload", d.seq)
			}
			continue
		}
		if d.seq < before[d.late] {
			k.Errorf("%d came for the first time after %d, late: %v", d.seq, before[d.late], d.late)
		}
		if said, ok := k.accepted[d.seq]; ok && said != d.said {
			k.Errorf("record %d came as %s, was %s", d.seq, d.said, said)
		}
		first[d.seq], before[d.late], last = d, d.seq, max(last, d.seq)
	}
	told := make(map[uint64]uint64) // first and last number of what events tell as lost
	for _, d := range first {
		if d.to > 0 {
			told[d.from] = max(told[d.from], d.to)
		}
	}
	for seq := uint64(1); seq <= last; seq++ {
		if first[seq].seq != 0 {
			continue
		}
		within := uint64(0)
		for from, to := range told {
			if from <= seq && seq <= to {
				within = max(within, to)
			}
		}
		if within == 0 {
			k.Errorf("record %d never came, and nobody tells", seq)
			continue
		}
		for ; seq < within && first[seq+1].seq == 0; seq++ {
		}
		gone++
	}
	return len(first), repeated, gone
}

// TestKilledAgent: the whole agent and a real Mosquitto are killed again and again, and the way
// between them is cut. Every record that a kill found on disk is acknowledged by the broker in the
// end, as it was; none comes for the first time after a later one of its lane; repetitions stay
// within a window for each loss of the connection; every gap in the numbers is told.
func TestKilledAgent(t *testing.T) {
	broker, state := startMosquitto(t), t.TempDir()
	k := &killing{
		T: t, broker: broker, way: startLedger(t, broker.addr()), spool: filepath.Join(state, "spool"),
		random: rand.New(rand.NewPCG(7, 50)), accepted: make(map[uint64]string),
	}
	k.args = []string{"run", "--bundle", "../../demo/bundle", "--source",
		"demo://parts?fps=45&seed=3&width=320&height=180",
		"--broker", "tcp://" + k.way.addr(), "--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set",
		"mqtt.spool.min_free=0", "--set", "state_dir=" + state,
		"--set", "http.listen=off", "--log-level", "error"}
	for n := range *lives {
		k.life(n)
	}
	k.way.set(false)
	before := k.last()
	agent := startAgent(t, k.args...)
	for end := time.Now().Add(patience); k.missing() > 0 || k.last() == before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d accepted records never came", k.missing(), len(k.accepted))
		}
	}
	k.losses++
	agent.Process.Signal(syscall.SIGINT)
	if err := agent.Wait(); err != nil {
		t.Errorf("the last life: %v", err)
	}
	records, repeated, gone := k.judge()
	if repeated > window*k.losses {
		t.Errorf("%d repetitions in %d losses of the connection", repeated, k.losses)
	}
	if len(k.accepted) < 2**lives {
		t.Errorf("only %d records were found on disk: the test does not test", len(k.accepted))
	}
	t.Logf("%d lives: %d records delivered, %d had waited on disk at a kill, 0 of them missing; %d repetitions in "+
		"%d losses of the connection, %d gaps, each told",
		*lives, records, len(k.accepted), repeated, k.losses, gone)
}
