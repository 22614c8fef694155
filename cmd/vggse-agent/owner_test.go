package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vggse/vggse-agent/agent"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/account"
)

// TestStoreOfAnotherAccount: root's verbs of the store work as the owner of the state folder: all
// that they make is its, a link that it planted is not followed, and the source is read with root's
// rights.
func TestStoreOfAnotherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		if err := new(settings).becomeOwner(); err != nil {
			t.Errorf("who is not root stays who it is: %v", err)
		}
		return
	}
	const nobody = 65534
	outer, err := os.MkdirTemp("/tmp", "store-of-another.*") // whose folders all may pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outer) })
	state := filepath.Join(outer, "state")
	secret := filepath.Join(outer, "secret")
	for path, mode := range map[string]fs.FileMode{outer: 0o755, state: 0o700} {
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(secret, []byte("root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	models := filepath.Join(state, "models")
	if err := os.Mkdir(models, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(models, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{state, models, filepath.Join(models, "link")} {
		if err := os.Lchown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	verb := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], append(args, "--set", "state_dir="+state)...)
		cmd.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	from := seededBundle(t) // in a folder that only root may enter
	if err := os.Chmod(filepath.Dir(from), 0o700); err != nil {
		t.Fatal(err)
	}
	sum := digest(t, verb("model", "install", from, "--json"))
	verb("model", "activate", sum, "--no-verify")
	err = filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s does not belong to the owner of the state folder", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	info, err := os.Stat(secret)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("root's file belongs to another now: %v", err)
	}
	if _, err := store.At(state).Install(t.Context(), from); err == nil || !strings.Contains(err.Error(), "sudo -u") {
		t.Errorf("root itself in the store of another: %v", err)
	}
}

// TestRecordEnd: the unit's last word is in the state folder, also beside settings that are wrong.
func TestRecordEnd(t *testing.T) {
	for name, args := range map[string][]string{"good": nil, "wrong settings": {"--set", "mqtt.brokr=x"}} {
		state := t.TempDir()
		t.Setenv("STATE_DIRECTORY", state)
		t.Setenv("SERVICE_RESULT", "core-dump")
		t.Setenv("EXIT_CODE", "dumped")
		t.Setenv("EXIT_STATUS", "SEGV")
		args = append([]string{"record-end", "--set", "state_dir=" + state}, args...)
		if code, _, stderr := agentCmd(t, args...); code != exitDone {
			t.Fatalf("%s: exit %d: %s", name, code, stderr)
		}
		text, err := os.ReadFile(filepath.Join(state, "last-end.json"))
		var e store.Ending
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("%s: %v: %s", name, err, text)
		}
		if want := (store.Ending{Boot: store.BootID(), Result: "core-dump", Code: "dumped",
			Status: "SEGV"}); err != nil || e != want {
			t.Errorf("%s: %+v, %v, want %+v", name, e, err, want)
		}
	}
}

// TestCrashIsSeen: Go ends with 2 where a signal kills it; the record has the signal all the same,
// and a stop leaves none.
func TestCrashIsSeen(t *testing.T) {
	bundleDir := seededBundle(t)
	for signal, want := range map[syscall.Signal]string{syscall.SIGSEGV: "SEGV", syscall.SIGABRT: "ABRT",
		syscall.SIGBUS: "BUS", syscall.SIGFPE: "FPE"} {
		broker, state := startMosquitto(t), t.TempDir()
		child := startAgentTo(t, nil, "", "run", "--bundle", bundleDir, "--source",
			"demo://parts?fps=15&width=320&height=180", "--broker", "tcp://"+broker.addr(), "--set", "device.id=edge",
			"--set", "http.listen=off", "--set", "state_dir="+state)
		await(t, broker.subscribe(t, "vggse/edge/#"), "vggse/edge/camera/status online")
		if err := child.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		child.Wait()
		if code := child.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%v: ended with %v, want 2", signal, child.ProcessState)
		}
		if got := agent.CrashSignal(state); got != want {
			t.Errorf("%v is seen as %q, want %q", signal, got, want)
		}
	}
	state := t.TempDir()
	text := "panic: runtime error: invalid memory address\n[signal SIGSEGV: segmentation violation]\n"
	if err := os.WriteFile(filepath.Join(state, agent.CrashFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := agent.CrashSignal(state); got != "" {
		t.Errorf("a panic of Go's own code is seen as %q", got)
	}
}

// TestRootWritesNothingOfAnother: whatever verb root runs over the state and cache folders of another
// account leaves nothing of root's in them, and nothing where a link in them leads.
func TestRootWritesNothingOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("nothing to see: this account is not root")
		return
	}
	const nobody = 65534
	outer, err := os.MkdirTemp("/tmp", "root-writes.*") // whose folders all may pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outer) })
	state, cache, roots := filepath.Join(outer, "state"), filepath.Join(outer, "cache"), filepath.Join(outer, "roots")
	for _, dir := range []string{state, cache, roots} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := []string{filepath.Join(cache, "reference"), filepath.Join(state, "spool"), filepath.Join(state, "models")}
	for _, link := range links {
		if err := errors.Join(os.Symlink(roots, link), os.Lchown(link, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(outer, 0o755), os.Chown(state, nobody, nobody),
		os.Chown(cache, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	bundle := seededBundle(t)
	for _, line := range []string{"verify " + bundle, "record-end", "doctor", "check-config", "spool repair",
		"spool verify", "model install " + bundle, "model list", "rollback", "release status", "runtime list"} {
		args := strings.Fields(line)
		args = append(args, "--config", os.DevNull, "--set", "state_dir="+state, "--set", "cache_dir="+cache)
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1")
		out, err := cmd.CombinedOutput()
		if goStack.Match(out) || args[0] == "verify" && err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
		for _, dir := range []string{state, cache} {
			for _, path := range filesBelow(t, dir) {
				if info, err := os.Lstat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
					t.Errorf("%v: %s is root's, %v", args, path, err)
				}
			}
		}
		if left, err := os.ReadDir(roots); err != nil || len(left) > 0 {
			t.Errorf("%v: root wrote where a link of another account leads: %v, %v", args, left, err)
		}
	}
}

// TestRunInTheFolderOfAnotherAccount: root's agent writes nothing where another account could lead it
// elsewhere, and which that account could not read afterwards.
func TestRunInTheFolderOfAnotherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		if err := account.NotForRoot("/"); err != nil {
			t.Errorf("who is not root may work where root is the owner: %v", err)
		}
		return
	}
	outer, err := os.MkdirTemp("/tmp", "run-of-another.*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outer) })
	state, target := filepath.Join(outer, "state"), filepath.Join(outer, "target")
	for _, dir := range []string{state, target} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(os.Symlink(target, filepath.Join(state, "spool")), os.Chown(state, 65534, 65534))
	if err != nil {
		t.Fatal(err)
	}
	code, _, stderr := agentCmd(t, "run", "--config", os.DevNull, "--bundle", seededBundle(t), "--source",
		"demo://parts", "--set", "state_dir="+state, "--set", "http.listen=off", "--log-level", "error")
	if code != exitConfig || !strings.Contains(stderr, "root does not work in folders of others") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	for _, dir := range []string{state, target} {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 1 || len(left) == 1 && left[0].Name() != "spool" {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}
