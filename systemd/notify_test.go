package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// TestNotify speaks to a socket as systemd has one, in the file system and in the abstract
// namespace.
func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@vggse-test-" + strconv.Itoa(os.Getpid())} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		n := NewNotifier(env(map[string]string{"NOTIFY_SOCKET": name}))
		if n == nil {
			t.Fatalf("no notifier for %s", name)
		}
		const state = "READY=1\nSTATUS=1 of 1 cameras deliver"
		if err := n.Notify(state); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		length, err := socket.Read(buf)
		if err != nil || string(buf[:length]) != state {
			t.Errorf("the manager heard %q, %v", buf[:length], err)
		}
		socket.Close()
		if err := n.Notify(state); err == nil {
			t.Error("a manager that is gone is no error")
		}
	}
}

func TestNoManager(t *testing.T) {
	for _, name := range []string{"", "vsock:2:1234", "relative"} {
		if n := NewNotifier(env(map[string]string{"NOTIFY_SOCKET": name})); n != nil {
			t.Errorf("NOTIFY_SOCKET=%q: %+v, want nil", name, n)
		}
	}
}

func TestWatchdog(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"30000000", "", 30 * time.Second}, {"30000000", own, 30 * time.Second}, {"30000000", "1", 0},
		{"-5", "", 0}, {"soon", "", 0}, {"9223372036854775807", "", 0},
	} {
		if got := Watchdog(env(map[string]string{"WATCHDOG_USEC": test.usec,
			"WATCHDOG_PID": test.pid})); got != test.want {
			t.Errorf("Watchdog(%q, %q) = %s, want %s", test.usec, test.pid, got, test.want)
		}
	}
}
