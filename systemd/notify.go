// Package systemd tells the service manager how the service fares, and holds the unit that it runs
// under.
//
//	agent ──READY, STATUS, WATCHDOG──▶ systemd
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// Notifier speaks to the manager that started this process, in the words of sd_notify(3). It may be
// used from any goroutine.
type Notifier struct {
	address *net.UnixAddr
}

// NewNotifier returns the way to the manager that getenv tells of, or nil where there is none.
func NewNotifier(getenv func(string) string) *Notifier {
	name := getenv("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return nil // vsock:… is for virtual machines
	}
	return &Notifier{&net.UnixAddr{Name: name, Net: "unixgram"}}
}

// Notify sends assignments, one a line, such as "READY=1\nSTATUS=text". It does not wait for an
// answer: there is none.
func (n *Notifier) Notify(state string) error {
	c, err := net.DialUnix(n.address.Net, nil, n.address)
	if err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	return nil
}

// Watchdog is how long the manager waits for WATCHDOG=1 before it ends this process; 0: it does not
// watch (sd_watchdog_enabled(3)).
func Watchdog(getenv func(string) string) time.Duration {
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 || micros > int64(1<<62/time.Microsecond) {
		return 0
	}
	return time.Duration(micros) * time.Microsecond
}
