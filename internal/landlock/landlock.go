// Package landlock takes files and the network from a thread and what it starts, where the kernel has
// Landlock.
package landlock

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock calls reading, for a folder and for a file, and all that it knows by version.
const (
	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE

	ReadFolder = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	Execute    = unix.LANDLOCK_ACCESS_FS_EXECUTE
	UseDevice  = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	scopeAll = 3 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL
)

// Rule allows something below a path, which may be a file; a path that is not there needs none.
type Rule struct {
	Path   string
	Access uint64 // ReadFolder, Execute, UseDevice or several of them
}

// Restrict takes all files from this thread, and what it starts, but for those of the rules, and
// the network: as a server always, as a client where network is false. The thread must be locked to
// its goroutine, and should be the one that execs: the others of the process stay free.
func Restrict(rules []Rule, network bool) error {
	abi, err := ABI()
	if err != nil {
		return err
	}
	attr := handled(abi, network)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), rulesetSize(abi), 0)
	if errno != 0 {
		return fmt.Errorf("restricting files by Landlock: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, r := range rules {
		if err := allow(int(fd), r, attr.Handled_access_fs); err != nil {
			return fmt.Errorf("restricting files by Landlock: %s: %w", r.Path, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("restricting files by Landlock: %w", errno)
	}
	return nil
}

// Attributes are what this kernel's Landlock is to take from a process that asks for it itself, as
// Restrict does, in the bytes that the kernel wants.
func Attributes(network bool) ([]byte, error) {
	abi, err := ABI()
	if err != nil {
		return nil, err
	}
	attr := handled(abi, network)
	return unsafe.Slice((*byte)(unsafe.Pointer(&attr)), rulesetSize(abi)), nil
}

// ABI is the version of the kernel's Landlock; the error says why there is none.
func ABI() (int, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.ENOSYS:
		return 0, fmt.Errorf("this kernel has no Landlock: that needs Linux 5.13 or newer")
	case errno == unix.EOPNOTSUPP:
		return 0, fmt.Errorf("the kernel's Landlock is not switched on: add it to lsm= of the kernel's command line")
	case errno != 0:
		return 0, fmt.Errorf("the kernel's Landlock is refused, perhaps by the service's SystemCallFilter: %w", errno)
	}
	return int(abi), nil
}

// handled is what a ruleset takes away where no rule gives it back.
func handled(abi int, network bool) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: 1<<13 - 1}
	if abi >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		if !network {
			a.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		}
	}
	if abi >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		a.Scoped = scopeAll
	}
	return a
}

// rulesetSize is how much of the attribute a version knows.
func rulesetSize(abi int) uintptr {
	switch {
	case abi >= 6:
		return 24
	case abi >= 4:
		return 16
	}
	return 8
}

func allow(ruleset int, r Rule, handled uint64) error {
	fd, err := unix.Open(r.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // what is not there, or not for us, needs no rule
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR {
		r.Access &^= unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: r.Access & handled, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
