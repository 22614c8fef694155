package atomicfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks the kernel to bring bytes [from, from+n) of f to the disk now, without
// waiting, so that the final sync finds little left. A hint: an error changes nothing.
func startWriteback(f *os.File, from, n int64) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), from, n, unix.SYNC_FILE_RANGE_WRITE) })
	}
}
