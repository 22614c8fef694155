package device

import "golang.org/x/sys/unix"

// ClockSynced reports whether the kernel's clock is disciplined by NTP or the like (adjtimex(2)).
func ClockSynced() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state != unix.TIME_ERROR
}
