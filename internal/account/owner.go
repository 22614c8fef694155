// Package account says whom files belong to, and keeps root from what another account can change.
package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner is the account that a folder, or the nearest one above it that is there, belongs to.
func Owner(dir string) (uid, gid int, err error) {
	for {
		info, err := os.Stat(dir)
		if err == nil {
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return 0, 0, fmt.Errorf("the owner of %s is unknown", dir)
			}
			return int(stat.Uid), int(stat.Gid), nil
		}
		above := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || above == dir {
			return 0, 0, err
		}
		dir = above
	}
}

// Holder is the account that says what lies at dir: that to which the first step belongs, folders
// and links on the way included, which is not root's. Where all of them are root's, and what is not
// there has no owner yet, it is root.
func Holder(dir string) (uid, gid int, err error) {
	_, uid, gid, err = holder(dir)
	return uid, gid, err
}

// holder is Holder with the step.
func holder(dir string) (at string, uid, gid int, err error) {
	err = walk(dir, func(path string, info fs.FileInfo) error {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("the owner of " + path + " is unknown")
		}
		if stat.Uid != 0 {
			at, uid, gid = path, int(stat.Uid), int(stat.Gid)
			return fs.SkipAll
		}
		return nil
	})
	if errors.Is(err, fs.SkipAll) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return at, uid, gid, err
}

// NotForRoot is an error where this process is root's and another account says what lies at the
// folder dir. It names the account to work as.
func NotForRoot(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	at, uid, _, err := holder(dir)
	if err != nil || uid == 0 {
		return err
	}
	name := Name(uid)
	return fmt.Errorf("%s belongs to %s, and root does not work in folders of others: use 'sudo -u %s vggse-agent …'",
		at, name, name)
}

// Name is how sudo -u calls an account.
func Name(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}

// Become makes this process, which is root's, another account's for good, with all groups that the
// account has, and takes the terminal's control from it.
func Become(uid, gid int) error {
	groups := []int{gid}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		ids, _ := u.GroupIds()
		for _, id := range ids {
			if n, err := strconv.Atoi(id); err == nil && n != gid {
				groups = append(groups, n)
			}
		}
	}
	leaveTerminal()
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("cannot work as %s: %w", Name(uid), err)
	}
	return nil
}

// leaveTerminal takes the controlling terminal from this process: code that another account has put in
// its way could type there what root's shell reads next (TIOCSTI). What was opened stays open, and the
// terminal's signals come as before. A process that leads its session has no shell above it.
func leaveTerminal() {
	if sid, err := unix.Getsid(0); err != nil || sid == os.Getpid() {
		return
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil { // it has none
		return
	}
	defer unix.Close(fd)
	_ = unix.IoctlSetInt(fd, unix.TIOCNOTTY, 0)
}
