package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock calls reading, for a folder and for a file, and all that it knows by version.
const (
	readFile   = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readFolder = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute    = unix.LANDLOCK_ACCESS_FS_EXECUTE
	useDevice  = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	scopeAll = 3 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL
)

// landlockABI is the version of the kernel's Landlock.
func landlockABI() (int, error) {
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
func handled(abi int, p *profile) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: 1<<13 - 1}
	if abi >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		if !p.network {
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

// rule allows something below a path; a path that is not there needs none.
type rule struct {
	path   string
	access uint64
}

// rulesOf are the files that a child of the profile sees.
func rulesOf(p *profile, env map[string]string) (rules []rule) {
	for _, path := range []string{"/usr", "/lib", "/lib64", "/nix/store", "/proc/self/exe"} {
		rules = append(rules, rule{path, readFolder | execute})
	}
	for _, path := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		rules = append(rules, rule{path, readFolder | execute})
	}
	// What the loader, Go's runtime and OpenCV ask about the machine.
	for _, path := range []string{
		"/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
		"/proc/stat", "/proc/version", "/sys/devices/system", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup",
		"/dev/urandom", "/dev/random", "/dev/zero",
	} {
		rules = append(rules, rule{path, readFolder})
	}
	rules = append(rules, rule{"/dev/null", useDevice})
	for key, value := range env {
		if strings.HasPrefix(key, "GST_") && !strings.Contains(key, "DEBUG") { // plugins, and the list of them
			for _, path := range filepath.SplitList(value) {
				rules = append(rules, rule{path, readFolder})
			}
		}
	}
	if p.network {
		for _, path := range []string{"resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf", "services",
			"ssl", "pki", "ca-certificates", "crypto-policies", "gnutls"} {
			rules = append(rules, rule{"/etc/" + path, readFolder})
		}
	}
	for _, path := range p.reads {
		rules = append(rules, rule{path, readFolder})
	}
	for _, path := range p.writes {
		rules = append(rules, rule{path, useDevice})
	}
	return rules
}

// restrictFiles takes all files from this thread, and what it starts, but for those of the profile.
func restrictFiles(p *profile, env map[string]string) error {
	abi, err := landlockABI()
	if err != nil {
		return err
	}
	attr := handled(abi, p)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), rulesetSize(abi), 0)
	if errno != 0 {
		return fmt.Errorf("restricting files by Landlock: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, r := range rulesOf(p, env) {
		if err := allow(int(fd), r, attr.Handled_access_fs); err != nil {
			return fmt.Errorf("restricting files by Landlock: %s: %w", r.path, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("restricting files by Landlock: %w", errno)
	}
	return nil
}

func allow(ruleset int, r rule, handled uint64) error {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // what is not there, or not for us, needs no rule
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR {
		r.access &^= unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: r.access & handled, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
