package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// nobodys is a folder that another account than root's has, with records and a damaged place in it.
func nobodys(t *testing.T) (dir string, given int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be told from the folder's owner")
	}
	top, err := os.MkdirTemp("", "spool") // t.TempDir's parent is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o711); err != nil {
		t.Fatal(err)
	}
	dir = top + "/spool"
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	give(t, s, Async, 150)
	force(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, _ := filepath.Glob(dir + "/async-*.seg")
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[30*padded(headerSize+1+100)+50] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	hand(t, dir, nobody)
	return dir, 149
}

// hand gives a folder and what is in it to an account.
func hand(t *testing.T, dir string, uid int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// foreign lists what in a folder is not the account's.
func foreign(t *testing.T, dir string, uid uint32) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if s := info.Sys().(*syscall.Stat_t); err == nil && (s.Uid != uid || s.Gid != uid) {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Root repairs a folder for its owner: what it makes there is the owner's, as is what an earlier
// repair has left to root; and the agent, which is that account, loses only what was damaged.
func TestRepairKeepsTheOwner(t *testing.T) {
	for name, spoil := range map[string]func(dir string){
		"the owner's": func(string) {},
		"root's files": func(dir string) {
			for _, pattern := range []string{"/*.seg", "/stream", "/cursor", "/lock"} {
				files, _ := filepath.Glob(dir + pattern)
				for _, f := range files {
					if err := os.Chown(f, 0, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
		"root's bad": func(dir string) { mustMkdir(t, dir+"/bad") },
	} {
		dir, want := nobodys(t)
		spoil(dir)
		if sum, err := Repair(dir); err != nil || sum.Records != want {
			t.Errorf("%s: %+v, %v", name, sum, err)
		}
		if left := foreign(t, dir, nobody); len(left) > 0 {
			t.Errorf("%s: not the owner's after the repair: %v", name, left)
		}
		var got []uint64
		err := asOwner(dir, func() error { // as the agent
			s, err := Open(dir, Options{})
			if err != nil {
				return err
			}
			s.Connect()
			got = takeAll(t, s)
			return s.Close()
		})
		if err != nil || len(got) != want {
			t.Errorf("%s: %d of %d came, %v", name, len(got), want, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Error("this process is not root any more")
	}
}

// What the owner has put there to lead root astray, root does not follow: neither to write, nor to
// read, nor to give away.
func TestRepairFollowsNothing(t *testing.T) {
	for _, name := range []string{"stream", "cursor", "lock", "bad", "async-0000000000000001.seg"} {
		dir, _ := nobodys(t)
		secret := filepath.Dir(dir) + "/secret"
		inside := secret
		if name == "bad" {
			mustMkdir(t, secret)
			inside = secret + "/sync-0000000000000009.seg"
		}
		if err := os.WriteFile(inside, []byte("root's own"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, link := range []func(old, new string) error{os.Symlink, os.Link} {
			os.RemoveAll(dir + "/" + name)
			if err := link(secret, dir+"/"+name); err != nil {
				continue // a folder has one name
			}
			Repair(dir)       //nolint:errcheck // it may fail
			Inspect(dir, nil) //nolint:errcheck // as may this
			b, err := os.ReadFile(inside)
			if err != nil || string(b) != "root's own" {
				t.Errorf("%s: root's file holds %q, %v", name, b, err)
			}
			if left := foreign(t, secret, 0); len(left) > 0 {
				t.Errorf("%s: given away: %v", name, left)
			}
		}
	}
}

// A file that the agent may not read is not used again, and what comes is written to others.
func TestFileOfAnother(t *testing.T) {
	dir, _ := nobodys(t)
	segments, _ := filepath.Glob(dir + "/*.seg")
	for _, f := range segments {
		if err := os.Chown(f, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	var got []uint64
	var err, failed error
	failed = func() error {
		return onlyBecome(func() error {
			var s *Spool
			if s, err = Open(dir, Options{}); err != nil {
				return err
			}
			give(t, s, Sync, 10)
			force(s)
			err = s.State().Err
			s.Connect()
			got = takeAll(t, s)
			return s.Close()
		})
	}()
	if failed != nil || err != nil || len(got) != 10 || !slices.Contains(got, 160) {
		t.Errorf("%v came, %v, %v", got, err, failed)
	}
	if bad, _ := filepath.Glob(dir + "/bad/async-*"); len(bad) != 1 {
		t.Errorf("put aside: %v", bad)
	}
}

// onlyBecome calls f as nobody, without the help of root.
func onlyBecome(f func() error) error {
	failed := make(chan error)
	go func() {
		if err := lockedBecome(); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	return <-failed
}

func lockedBecome() error {
	runtime.LockOSThread() // and never unlocked
	return become(nobody, nobody)
}

// TestFileInItsPlace: a file or a pipe in the place of the folder is moved aside; what leads to a disk
// that is away is not.
func TestFileInItsPlace(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a file": func(path string) error { return os.WriteFile(path, []byte("noise"), 0o600) },
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		dir := filepath.Join(t.TempDir(), "spool")
		if err := put(dir); err != nil {
			t.Fatal(err)
		}
		ClearPlace(dir)
		s, err := Open(dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.State().Err; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if aside, _ := filepath.Glob(dir + "-*"); len(aside) != 1 {
			t.Errorf("%s is now %v", name, aside)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	away := filepath.Join(t.TempDir(), "spool")
	if err := os.Symlink("/nowhere/disk", away); err != nil {
		t.Fatal(err)
	}
	ClearPlace(away)
	if target, err := os.Readlink(away); err != nil || target != "/nowhere/disk" {
		t.Errorf("a link to a disk that is away: %q, %v", target, err)
	}
}

// TestLockInItsPlace: what lies in the place of the lock keeps no agent out, and one at a time has it.
func TestLockInItsPlace(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a link that leads nowhere": func(path string) error { return os.Symlink("/nowhere/x", path) },
		"a link to itself":          func(path string) error { return os.Symlink(path, path) },
		"a folder":                  func(path string) error { return os.MkdirAll(filepath.Join(path, "in"), 0o700) },
		"a pipe":                    func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		dir := t.TempDir()
		if err := put(filepath.Join(dir, "lock")); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: a second agent: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
