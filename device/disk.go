package device

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Disk is the file system that a folder lies on. Bytes.
type Disk struct {
	Total     uint64 `json:"total_bytes"`
	Available uint64 `json:"available_bytes"` // to everybody, not to root alone
}

// Usage asks the kernel for the file system of folder, which is a path of this machine.
func Usage(folder string) (*Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return nil, fmt.Errorf("device: disk of %s: %w", folder, err)
	}
	size := uint64(s.Bsize)
	return &Disk{Total: s.Blocks * size, Available: s.Bavail * size}, nil
}
