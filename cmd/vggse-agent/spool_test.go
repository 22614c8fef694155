package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// waiting is the JSON line of stat, verify and repair.
type waiting struct {
	Records, Damaged, Dropped int
	Bytes                     int64
	Stream                    string `json:"stream_id"`
	InUse                     bool   `json:"in_use"`
}

// spoolJSON runs a verb below spool.
func spoolJSON(t *testing.T, want int, args ...string) (w waiting) {
	t.Helper()
	code, stdout, stderr := agentCmd(t, append([]string{"spool", "--json"}, args...)...)
	if code != want {
		t.Fatalf("spool %v: exit %d, want %d: %s", args, code, want, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &w); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	return w
}

// TestSpool looks into what a real agent without a broker has left, while it runs and after it was
// killed; damage is found, repaired, and told.
func TestSpool(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, "spool")
	agent := startAgent(t, "run", "--bundle", seededBundle(t), "--source", "demo://parts?fps=15&width=320&height=180",
		"--broker", "tcp://127.0.0.1:1",
		"--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set", "mqtt.spool.min_free=0", "--set",
		"state_dir="+state, "--set", "http.listen=off", "--log-level", "error")
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(dir); err == nil {
			if w := spoolJSON(t, exitDone, "stat", dir); w.Records >= 20 && w.InUse {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("nothing waits")
		}
	}
	if code, _, stderr := agentCmd(t, "spool", "repair", dir); code != exitFailed ||
		!strings.Contains(stderr, "stop it first") {
		t.Errorf("repair at work: exit %d: %s", code, stderr)
	}
	agent.Process.Kill()
	agent.Wait()
	left := spoolJSON(t, exitDone, "verify", "--set", "state_dir="+state)
	if left.InUse || left.Records < 20 || left.Damaged != 0 || len(left.Stream) != 36 {
		t.Errorf("left: %+v", left)
	}

	_, stdout, _ := agentCmd(t, "spool", "peek", dir, "--json", "-n", "0")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for _, line := range lines {
		var r struct {
			Seq     uint64
			Topic   string
			Payload struct {
				Seq         uint64
				Redelivered bool
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Seq == 0 || r.Payload.Seq != r.Seq ||
			!r.Payload.Redelivered || !strings.HasPrefix(r.Topic, "vggse/edge/camera/") {
			t.Fatalf("peek: %v in %s", err, line)
		}
	}
	if len(lines) != left.Records {
		t.Errorf("peek shows %d records, stat %d", len(lines), left.Records)
	}

	file := firstFile(t, dir, "async-*.seg")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 4
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if hurt := spoolJSON(t, exitFailed, "verify", dir); hurt.Damaged != 1 || hurt.Records != left.Records-1 {
		t.Errorf("hurt: %+v, before %+v", hurt, left)
	}
	spoolJSON(t, exitDone, "repair", dir)
	if w := spoolJSON(t, exitDone, "verify", dir); w.Damaged != 0 || w.Records != left.Records-1 || w.Dropped != 1 {
		t.Errorf("repaired: %+v", w)
	}
	if code, _, stderr := agentCmd(t, "spool", "stat", state+"/nowhere"); code != exitFailed ||
		!strings.Contains(stderr, "no such file") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// firstFile is the first of the files that match.
func firstFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(all) == 0 {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return all[0]
}
