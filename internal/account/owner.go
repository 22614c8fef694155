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

// NotForRoot is an error where this process is root's and the folder dir belongs to another
// account. It names the account to work as.
func NotForRoot(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, _, err := Owner(dir)
	if err != nil || uid == 0 {
		return err
	}
	name := Name(uid)
	return fmt.Errorf("%s belongs to %s, and root does not work in folders of others: use 'sudo -u %s vggse-agent …'",
		dir, name, name)
}

// Name is how sudo -u calls an account.
func Name(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}

// Become makes this process, which is root's, another account's for good, with all groups that the
// account has.
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
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("cannot work as %s: %w", Name(uid), err)
	}
	return nil
}
