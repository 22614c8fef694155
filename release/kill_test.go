package release

import (
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
)

var kills = flag.Int("kills", 6, "SIGKILLs of TestKilledPulls")

// killPlan is what a process of its own is to pull, and where it dies.
type killPlan struct {
	Place    Place
	Trust    string
	State    string
	Bytes    int64         // dies when so many have come; < 0: later
	Checking time.Duration // after the check has begun
	Activate time.Duration // > 0: so long after its activation has begun, over and over until then
	Running  string        // digest of the bundle that it takes turns with
}

// TestPullAndDie is not a test: it is the process that TestKilledPulls kills.
func TestPullAndDie(t *testing.T) {
	text := os.Getenv("VGGSE_TEST_KILL")
	if text == "" {
		return
	}
	var k killPlan
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(err)
	}
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	gate := &Gate{Folder: k.Trust, Require: RequireAuto, StateDir: k.State,
		Now: func() (time.Time, bool) { return created, true }}
	r, err := Open(t.Context(), k.Place, gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	models := store.At(k.State)
	done, err := r.Pull(t.Context(), PullOptions{Store: models, Tell: func(now Progress) {
		switch {
		case k.Activate > 0:
		case now.State == StateChecking:
			time.AfterFunc(k.Checking, die)
		case k.Bytes >= 0 && now.Bytes >= k.Bytes:
			die()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if k.Activate == 0 {
		return
	}
	time.AfterFunc(k.Activate, die)
	for {
		for _, sum := range []string{done.SHA256, k.Running} {
			if _, err := models.Activate(t.Context(), sum); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestKilledPulls: a pull that is killed at any byte, or anywhere in the installation or activation,
// leaves the right bundle or none, and the next one fetches exactly what is not on the disk. The model
// that is active is whole, and one of the two.
func TestKilledPulls(t *testing.T) {
	p := newPublisher(t)
	_, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	running, err := d.store.Install(t.Context(), demo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.Activate(t.Context(), running.SHA256); err != nil {
		t.Fatal(err)
	}
	m, _ := p.make(1)
	total := m.bytes() - int64(len(m.Text))
	r := rand.New(rand.NewPCG(23, 7))
	died := 0
	for i := range *kills {
		plan := killPlan{Place: place, Trust: d.gate.Folder, State: d.gate.StateDir, Bytes: r.Int64N(total + 1)}
		switch i % 3 {
		case 1:
			plan.Bytes, plan.Checking = -1, time.Duration(r.Int64N(int64(20*time.Millisecond)))
		case 2:
			plan.Activate, plan.Running = 1+time.Duration(r.Int64N(int64(50*time.Millisecond))), running.SHA256
		}
		if runAndDie(t, plan) {
			died++
		}
		d.wholeOrNothing(running.SHA256, hexSum(m.Text))
		onDisk := pulledBytes(t, d.gate.StateDir)
		_, err := d.store.Find(hexSum(m.Text))
		installed := err == nil
		done, err := d.pull(place)
		if err != nil {
			t.Fatalf("kill %d (%+v): %v", i, plan, err)
		}
		d.holds(done.Installed, p.dir)
		if want := total - onDisk; !installed && done.Fetched != want {
			t.Errorf("kill %d at byte %d: fetched %d, %d were missing", i, plan.Bytes, done.Fetched, want)
		}
		if _, err := d.store.Activate(t.Context(), running.SHA256); err != nil {
			t.Fatal(err)
		}
		if _, err := d.store.Remove(done.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d processes were killed", died, *kills)
	if died*2 < *kills {
		t.Errorf("%d of %d processes were killed", died, *kills)
	}
}

// runAndDie runs the plan and reports whether it was killed.
func runAndDie(t *testing.T, plan killPlan) bool {
	t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPullAndDie$")
	cmd.Env = append(os.Environ(), "VGGSE_TEST_KILL="+string(text))
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// wholeOrNothing looks at every bundle under its digest, and at the active one, which is one of two.
func (d *device) wholeOrNothing(before, after string) {
	d.t.Helper()
	all, err := d.store.List()
	if err != nil {
		d.t.Fatal(err)
	}
	found := false
	for _, i := range all {
		if err := bundle.CheckAll(d.t.Context(), i.Dir); err != nil {
			d.t.Error(err)
		}
		found = found || i.Active && (i.SHA256 == before || i.SHA256 == after)
	}
	if !found {
		d.t.Errorf("the active model is not among %+v", all)
	}
}

// pulledBytes is what lies in the folder of pieces.
func pulledBytes(t *testing.T, state string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(state, "pull"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Name(), ".") {
			n += info.Size()
		}
	}
	return n
}
