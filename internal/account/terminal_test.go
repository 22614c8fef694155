package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asOther is the environment variable of the process in which TestTerminalIsLeft becomes nobody.
const asOther = "TEST_BECOMES_NOBODY"

// terminal opens a new pair of terminals.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestTerminalIsLeft: below a shell of root's, who has become another account can type nothing into the
// terminal that the shell reads next.
func TestTerminalIsLeft(t *testing.T) {
	if os.Getenv(asOther) != "" {
		before := os.Getenv(asOther) == "stays"
		if !before {
			if err := Become(65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		_, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if gone := errors.Is(err, syscall.ENXIO); gone == before {
			t.Errorf("a controlling terminal: %v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Log("nothing to see: this account is not root")
		return
	}
	for _, as := range []string{"stays", "becomes nobody"} {
		_, slave := terminal(t)
		// The shell stays, as the leader of the session.
		shell := exec.Command("/bin/sh", "-c", `"$0" -test.run=TestTerminalIsLeft -test.v; exit $?`, os.Args[0])
		shell.Env = append(os.Environ(), asOther+"="+strings.Fields(as)[0])
		var said strings.Builder
		shell.Stdin, shell.Stdout, shell.Stderr = slave, &said, &said
		shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := shell.Run(); err != nil || !strings.Contains(said.String(), "PASS") {
			t.Errorf("%s: %v: %s", as, err, said.String())
		}
	}
}
