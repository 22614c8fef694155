package spool

import "golang.org/x/sys/unix"

// Sync is fdatasync(2): of a file whose blocks are there already, it writes the data and nothing
// else.
func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
