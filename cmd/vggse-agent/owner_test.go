package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vggse/vggse-agent/agent"
	"github.com/vggse/vggse-agent/bundle/store"
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
