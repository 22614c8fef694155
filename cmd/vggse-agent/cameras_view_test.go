package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal runs this program on a terminal of 60×30 characters, and returns what it wrote there.
func terminal(t *testing.T, environment []string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 60}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "TEST_AS_VGGSE_AGENT=1", "NO_COLOR=", "TERM=xterm-256color", "COLORTERM="),
		environment...)
	cmd.Stdout, cmd.Stderr = slave, slave
	err = cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	written, _ := io.ReadAll(master) // ends with an error when the program does
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, written)
	}
	return string(written)
}

// A picture is drawn where the terminal can, with as many colours as it says that it has; else one
// sentence says why not, and the measurement comes all the same.
func TestCamerasTestView(t *testing.T) {
	args := []string{"cameras", "test", "demo://parts?fps=100", "--frames", "3", "--view"}
	for environment, want := range map[string]string{
		"COLORTERM=truecolor": "\x1b[38;2;", "COLORTERM=24bit": "\x1b[38;2;", "COLORTERM=": "\x1b[38;5;",
		"NO_COLOR=1": "NO_COLOR is set", "TERM=dumb": "this terminal (TERM) has none",
	} {
		got := terminal(t, []string{environment}, args...)
		blocks, drawn := strings.Count(got, "▀"), strings.Contains(want, "\x1b")
		if !strings.Contains(got, want) || !strings.Contains(got, "frames       3, ") {
			t.Errorf("%s: no %q in %q", environment, want, got[:min(len(got), 300)])
		}
		if wide := strings.Count(got, "\x1b[0m"); drawn && (blocks != 60*wide || wide != 17) || !drawn && blocks > 0 {
			t.Errorf("%s: %d blocks in %d rows, want 60×17", environment, blocks, wide)
		}
	}
	code, out, stderr := agentCmd(t, args...)
	if code != exitDone || strings.Contains(out, "▀") || !strings.Contains(stderr, "this output is none") {
		t.Errorf("into a file: exit %d, %q, %q", code, out, stderr)
	}
	if code, _, stderr := agentCmd(t, append(args, "--json")...); code != exitUsage ||
		!strings.Contains(stderr, "choose one") {
		t.Errorf("with --json: exit %d, %q", code, stderr)
	}
}
