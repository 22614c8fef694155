package spool

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// asOwner calls f as the account that a folder belongs to, where root is asked to: what f makes
// belongs to that account then, and f follows no link to where that account may not go. Files of
// the spool that root has made there before are given to it first.
func asOwner(dir string, f func() error) error {
	uid, gid := ownerOf(dir)
	if os.Geteuid() != 0 || uid == 0 {
		return f()
	}
	giveBack(dir, uid, gid)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := become(uid, gid)
		if err == nil {
			err = f()
		}
		failed <- err
	}()
	return <-failed
}

// ownerOf is the account that could put another folder in the place of dir: the first that is not
// root, on the way up from it.
func ownerOf(dir string) (uid, gid int) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, 0
	}
	for {
		if info, err := os.Lstat(dir); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
				return int(s.Uid), int(s.Gid)
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return 0, 0
		}
		dir = up
	}
}

// become makes the calling thread, and no other, act as an account in the file system.
func become(uid, gid int) error {
	if _, _, number := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); number != 0 {
		return number
	}
	if err := unix.Setfsgid(gid); err != nil {
		return err
	}
	if err := unix.Setfsuid(uid); err != nil {
		return err
	}
	if now, _ := unix.SetfsuidRetUid(-1); now != uid { // the call itself does not tell
		return syscall.EPERM
	}
	return nil
}

// giveBack gives the files of a spool that are root's to the folder's owner. It follows no link,
// and takes no file that has a second name. What it cannot give is found out by whoever opens it.
func giveBack(dir string, uid, gid int) {
	d, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	folder := os.NewFile(uintptr(d), dir)
	defer folder.Close()
	var s unix.Stat_t
	if unix.Fstat(d, &s) != nil || int(s.Uid) != uid { // somebody else's
		return
	}
	giveFiles(folder, uid, gid)
	b, err := unix.Openat(d, "bad", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	bad := os.NewFile(uintptr(b), "bad")
	defer bad.Close()
	if unix.Fstat(b, &s) == nil && s.Uid == 0 {
		unix.Fchown(b, uid, gid) //nolint:errcheck // see above
	}
	giveFiles(bad, uid, gid)
}

func giveFiles(folder *os.File, uid, gid int) {
	names, _ := folder.Readdirnames(-1) // those that could be read
	for _, name := range names {
		if _, _, _, ok := parseSegment(name); !ok && name != "stream" && name != "cursor" && name != "lock" {
			continue
		}
		const how = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
		f, err := unix.Openat(int(folder.Fd()), name, how, 0)
		if err != nil {
			continue
		}
		var s unix.Stat_t
		if unix.Fstat(f, &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFREG && s.Nlink == 1 && s.Uid == 0 {
			unix.Fchown(f, uid, gid) //nolint:errcheck // see giveBack
		}
		unix.Close(f)
	}
}
