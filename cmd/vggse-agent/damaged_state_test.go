package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
)

var states = flag.Int("states", 2, "damaged state folders of TestDamagedStates (make soak: 200)")

// aState is a state folder as an agent leaves it that was killed in an outage: two models, settings
// that came over MQTT, records that wait. It returns the records by number.
func aState(t *testing.T, dir string, bundles []string) (accepted map[uint64]string) {
	t.Helper()
	for _, b := range bundles {
		run(t, dir, exitDone, "model", "install", b, "--json")
	}
	sums := installed(t, dir)
	run(t, dir, exitDone, "model", "activate", sums[0][:8], "--no-verify")
	agent := startAgentIn(t, "", stateArgs(dir, "tcp://127.0.0.1:9")...)
	spoolDir := filepath.Join(dir, "spool")
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if sum, err := spool.Inspect(spoolDir, nil); err == nil && sum.Records > 30 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing waits")
		}
	}
	agent.Process.Kill()
	agent.Wait()
	put := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700),
			os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("last-end.json", `{"boot":"b","result":"signal","code":"killed","status":"SEGV"}`)
	put("releases.json", `{}`)
	put("runtimes/1.2.3-cpu-0/libonnxruntime.so", "none")
	accepted = make(map[uint64]string)
	if _, err := spool.Inspect(spoolDir, func(r *spool.Record) bool {
		accepted[r.Seq] = string(r.Payload)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return accepted
}

// stateArgs run an agent that publishes every frame.
func stateArgs(dir, broker string) []string {
	return []string{"run", "--config", os.DevNull, "--source", "demo://parts?fps=30&seed=3&width=320&height=180",
		"--broker", broker, "--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set",
		"mqtt.spool.min_free=0", "--set", "state_dir=" + dir, "--set", "http.listen=off", "--log-level", "error"}
}

func installed(t *testing.T, dir string) (sums []string) {
	t.Helper()
	for line := range strings.Lines(run(t, dir, exitDone, "model", "list", "--json")) {
		var m modelLine
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, m.SHA256)
	}
	return sums
}

// run runs a verb on a state folder in a process of its own, to a code or, where that is negative,
// to any that is none of a crash; what fails says one sentence.
func run(t *testing.T, dir string, code int, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "--config", os.DevNull, "--set", "state_dir="+dir)...)
	cmd.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1", "VGGSE_HTTP_LISTEN=off")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(patience, func() { cmd.Process.Signal(syscall.SIGABRT) })
	cmd.Wait()
	got := cmd.ProcessState.ExitCode()
	last := lastLine(errs.String())
	switch {
	case !hang.Stop():
		t.Errorf("%v hangs: %.2000s", args, errs.Bytes())
	case goStack.Match(errs.Bytes()),
		!slices.Contains([]int{exitDone, exitFailed, exitUsage, exitGate, exitConfig}, got):
		t.Errorf("%v: exit %d: %.2000s", args, got, errs.Bytes())
	case code >= 0 && got != code:
		t.Errorf("%v: exit %d, want %d: %.2000s", args, got, code, errs.Bytes())
	case got != exitDone && !strings.HasPrefix(last, "vggse-agent: "):
		t.Errorf("%v: exit %d without a sentence: %.2000s", args, got, errs.Bytes())
	}
	return out.String()
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// filesBelow are all files of a folder, and the folders in it.
func filesBelow(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path != dir {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// damage does something to one file or folder, and says what.
func damage(t *testing.T, r *rand.Rand, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		return "gone before: " + path
	}
	var text []byte
	if info.Mode().IsRegular() { // no pipe of a damage before
		text, _ = os.ReadFile(path)
	}
	at := 0
	if len(text) > 0 {
		at = r.IntN(len(text))
	}
	kind := r.IntN(11)
	if info.IsDir() || len(text) == 0 {
		kind = 4 + r.IntN(7)
	}
	what := [...]string{"bits", "cut", "page lost", "junk behind", "missing", "a folder", "a pipe", "a dangling link",
		"empty", "another's", "noise"}[kind]
	switch kind {
	case 0:
		text[at] ^= 1 << r.IntN(8)
		err = os.WriteFile(path, text, 0o600)
	case 1:
		err = os.Truncate(path, int64(at))
	case 2:
		clear(text[at&^4095 : min(len(text), at&^4095+4096)])
		err = os.WriteFile(path, text, 0o600)
	case 3:
		err = os.WriteFile(path, append(text, "\x00\xff{}[]"...), 0o600)
	case 9:
		err = errors.Join(os.Chmod(path, info.Mode().Perm()&0o700), os.Lchown(path, 65534, 65534))
		if errors.Is(err, fs.ErrPermission) {
			err = nil
		}
	default:
		err = os.RemoveAll(path)
		switch kind {
		case 5:
			err = errors.Join(err, os.Mkdir(path, 0o700))
		case 6:
			err = errors.Join(err, syscall.Mkfifo(path, 0o600))
		case 7:
			err = errors.Join(err, os.Symlink("/nowhere/x", path))
		case 8:
			err = errors.Join(err, os.WriteFile(path, nil, 0o600))
		case 10:
			noise := make([]byte, 5000)
			for i := range noise {
				noise[i] = byte(r.Uint32())
			}
			err = errors.Join(err, os.WriteFile(path, noise, 0o600))
		}
	}
	if err != nil {
		t.Fatalf("%s %s: %v", what, path, err)
	}
	return what + ": " + path
}

// TestDamagedStates: whatever one to three damages do to a state folder, every verb that reads it
// says at most one sentence, and mends what it is for; the agent publishes, no number stands for
// two messages of a stream, and what does not come any more is told.
func TestDamagedStates(t *testing.T) {
	broker := startMosquitto(t)
	template := filepath.Join(t.TempDir(), "state")
	other := filepath.Join(t.TempDir(), "other")
	if code, _, stderr := agentCmd(t, "new", "--out", other, "--classes", "3", "--width", "0.125", "--input", "32",
		"--hidden", "16", "--pool", "1", "--reduction", "4", "--seed", "8"); code != exitDone {
		t.Fatal(stderr)
	}
	bundles := []string{seededBundle(t), other}
	accepted := aState(t, template, bundles)
	for n := range *states {
		r := rand.New(rand.NewPCG(uint64(n), 18))
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		var what []string
		for range 1 + r.IntN(3) {
			all := filesBelow(t, dir)
			what = append(what, strings.TrimPrefix(damage(t, r, all[r.IntN(len(all))]), dir))
		}
		ok := t.Run(fmt.Sprintf("state %d", n), func(t *testing.T) {
			damagedState(t, r, dir, bundles, broker, accepted)
		})
		if !ok {
			t.Logf("state %d: %s", n, strings.ReplaceAll(strings.Join(what, "; "), dir, ""))
		}
		os.RemoveAll(dir)
	}
}

func damagedState(t *testing.T, r *rand.Rand, dir string, bundles []string, broker *mosquitto,
	accepted map[uint64]string) {
	for _, args := range [][]string{
		{"model", "list", "--json"}, {"spool", "stat"}, {"spool", "peek", "-n", "0"}, {"spool", "verify"},
		{"check-config"}, {"release", "status"}, {"runtime", "list"}, {"rollback"}, {"record-end"}, {"doctor"},
	} {
		if r.IntN(2) == 0 || *states > 2 {
			run(t, dir, -1, args...)
		}
	}
	if r.IntN(3) == 0 {
		info, err := os.Stat(filepath.Join(dir, "spool"))
		want := exitDone
		if err == nil && !info.IsDir() { // the agent moves it aside
			want = exitFailed
		}
		run(t, dir, want, "spool", "repair")
	}
	if r.IntN(2) == 0 { // what mends a model
		i := r.IntN(2)
		if leadsNowhere(filepath.Join(dir, "models")) {
			run(t, dir, exitFailed, "model", "install", bundles[i])
			return
		}
		sum := strings.Fields(run(t, dir, exitDone, "model", "install", bundles[i], "--json"))
		var line modelLine
		if err := json.Unmarshal([]byte(strings.Join(sum, " ")), &line); err != nil {
			t.Fatal(err)
		}
		run(t, dir, exitDone, "model", "activate", line.SHA256, "--no-verify")
	}
	new := isNew(t, dir)
	way := startLedger(t, broker.addr())
	var log bytes.Buffer
	agent := startAgentTo(t, &log, "", stateArgs(dir, "tcp://"+way.addr())...)
	ended := make(chan struct{})
	go func() { agent.Wait(); close(ended) }()
	if !published(t, way, ended) {
		text := log.String()
		if goStack.MatchString(text) || !strings.HasPrefix(lastLine(text), "vggse-agent: ") {
			t.Errorf("run ended: %.2000s", text)
		} else if leadsNowhere(filepath.Join(dir, "spool")) {
			if !strings.Contains(text, "mount the disk") {
				t.Errorf("a spool that leads nowhere: %.2000s", text)
			}
		} else if demo := regexp.MustCompile(`there is no folder \S*/demo`).MatchString(text); demo != new ||
			!demo && !strings.Contains(text, "models/") {
			// A model that is lost is a failed start, as documented. Here is no demo: what wants it ends.
			t.Errorf("the agent does not run (a new device: %t): %.2000s", new, text)
		}
		return
	}
	agent.Process.Signal(syscall.SIGINT)
	<-ended
	judgeNumbers(t, way, accepted)
}

// leadsNowhere reports whether path is a link to what is not there: a disk that is away, which is no
// reason to begin anew beside it.
func leadsNowhere(path string) bool {
	_, err := os.Readlink(path)
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// isNew reports whether nothing is left that tells the state folder from that of a new device: no
// model, no state of them, and no mark.
func isNew(t *testing.T, dir string) bool {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(dir, "activated")); err == nil {
		return false
	}
	left, err := filepath.Glob(filepath.Join(dir, "models", "[0-9a-f]*"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Lstat(filepath.Join(dir, "models", "state.json"))
	return len(left) == 0 && err != nil
}

// published waits until something new has come beside all that waited; false where the agent ended.
func published(t *testing.T, way *ledger, ended <-chan struct{}) bool {
	t.Helper()
	fresh := func() (n int) {
		way.mu.Lock()
		defer way.mu.Unlock()
		for _, d := range way.all {
			if !d.late {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(patience); fresh() < 40; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if time.Now().After(end) {
			t.Errorf("%d of 40 new records came", fresh())
			return true
		}
	}
	return true
}

// judgeNumbers holds what was delivered against what waited.
func judgeNumbers(t *testing.T, way *ledger, accepted map[uint64]string) {
	t.Helper()
	way.mu.Lock()
	defer way.mu.Unlock()
	type name struct {
		stream string
		seq    uint64
	}
	stream := streamOf(anyOf(accepted))
	said, told, changed := make(map[name]string), make(map[uint64]bool), false
	for _, d := range way.all {
		key := name{streamOf(d.said), d.seq}
		if before, again := said[key]; again && before != d.said {
			t.Errorf("record %d of %s came as %s and as %s", d.seq, key.stream, before, d.said)
		}
		said[key] = d.said
		changed = changed || key.stream != stream
		for seq := d.from; d.to > 0 && seq <= d.to && seq-d.from < 1<<20; seq++ {
			told[seq] = true
		}
	}
	for seq, payload := range accepted {
		got, came := said[name{stream, seq}]
		switch {
		case came && got != payload:
			t.Errorf("record %d came as %s, was %s", seq, got, payload)
		case !came && !told[seq] && !changed:
			t.Errorf("record %d never came, and nobody tells", seq)
		}
	}
}

func anyOf(all map[uint64]string) string {
	for _, v := range all {
		return v
	}
	return ""
}

func streamOf(payload string) string {
	_, rest, _ := strings.Cut(payload, `"stream_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
