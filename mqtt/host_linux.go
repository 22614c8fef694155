package mqtt

import (
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout makes a connection fail when sent bytes stay unacknowledged for limit (tcp(7)).
func setUserTimeout(c syscall.RawConn, limit time.Duration) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}

// sinceBoot is CLOCK_BOOTTIME: it never steps, and counts while the machine sleeps.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// clockSynced reports whether the kernel's clock is disciplined by NTP or the like (adjtimex(2)).
func clockSynced() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state != unix.TIME_ERROR
}

// bootID changes with every boot of the machine (random(4)).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
