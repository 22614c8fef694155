package agent

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vggse/vggse-agent/internal/filelock"
)

// holdVariable makes this test program hold a state folder and wait for SIGHUP.
const holdVariable = "TEST_HOLDS_STATE_FOLDER"

// holdUntilAsked is that program; it ends with 0 once it was asked.
func holdUntilAsked(dir string) int {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer Hold(dir)()
	os.Stdout.WriteString("held\n")
	<-asked
	return 0
}

// TestReload: the agent of a state folder is found and asked, and nobody else; where none runs, that
// is said.
func TestReload(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if pid, err := Reload(dir); pid != 0 || err != nil {
		t.Errorf("no folder: process %d, %v", pid, err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdVariable+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Process.Kill()
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil || !strings.HasPrefix(string(said), "held") {
		t.Fatalf("%q, %v", said, err)
	}
	if pid, err := filelock.Holder(filepath.Join(t.TempDir(), holderFile)); pid != 0 || err != nil {
		t.Errorf("another folder: process %d, %v", pid, err)
	}
	if pid, err := Reload(dir); pid != child.Process.Pid || err != nil {
		t.Errorf("asked process %d, want %d; %v", pid, child.Process.Pid, err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("it was not asked: %v", err)
	}
	if pid, err := Reload(dir); pid != 0 || err != nil {
		t.Errorf("after its end: process %d, %v", pid, err)
	}
}
