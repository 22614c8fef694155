package account

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTrustedBy: every step of a path counts, links and what they lead to included.
func TestTrustedBy(t *testing.T) {
	me := []uint32{0, uint32(os.Geteuid())}
	dir := t.TempDir()
	put := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, name string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, open := put("good/lib.so", 0o644), put("good/open.so", 0o646)
	inside := put("shared/lib.so", 0o644)
	if err := os.Chmod(filepath.Dir(inside), 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		good: "", open: "others than root may write to " + open,
		inside:                                "others than root may write to " + filepath.Dir(inside),
		link(good, "to-good"):                 "",
		link(open, "to-open"):                 open,
		link("shared", "current") + "/lib.so": filepath.Dir(inside),
		link("../"+filepath.Base(dir)+"/good/lib.so", "up"): "",
		link("loop", "loop"): "too many links",
	} {
		err := trustedBy(path, me)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if err := trustedBy(good, []uint32{1 << 30}); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("a path of accounts that are not trusted: %v", err)
	}
}

// TestRootAndOthers: as root, what another account owns is neither loaded nor worked in; a link
// that it made, and a file of its in /tmp, are not either.
func TestRootAndOthers(t *testing.T) {
	theirs := filepath.Join(t.TempDir(), "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(theirs, "lib.so")
	if err := os.WriteFile(lib, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // then what is loaded runs as itself
		if err := Trusted(lib); err != nil {
			t.Error(err)
		}
		return
	}
	const nobody = 65534
	if err := os.Chown(theirs, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := Trusted(lib); err == nil || !strings.Contains(err.Error(), "only root writes") {
		t.Errorf("a library in a folder of nobody's: %v", err)
	}
	for _, dir := range []string{theirs, filepath.Join(theirs, "models", "not", "there")} {
		if err := NotForRoot(dir); err == nil || !strings.Contains(err.Error(), "sudo -u") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	// A folder of root's that nobody can exchange, or reaches by a link of its own, is nobody's, too.
	inside, byLink := filepath.Join(theirs, "roots"), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(inside, 0o755), os.Symlink("/", byLink),
		os.Lchown(byLink, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{inside, byLink + "/etc"} {
		if uid, gid, err := Holder(dir); err != nil || uid != nobody || gid != nobody {
			t.Errorf("%s: held by %d %d, %v", dir, uid, gid, err)
		}
		if err := NotForRoot(dir); err == nil || !strings.Contains(err.Error(), "sudo -u nobody") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if uid, _, err := Holder("/etc/not/there"); err != nil || uid != 0 {
		t.Errorf("what is not there: %d, %v", uid, err)
	}
	mine := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(mine), "link.so")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	if err := Trusted(link); err != nil {
		t.Error(err)
	}
	if err := syscall.Lchown(link, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := Trusted(link); err == nil {
		t.Error("a link of nobody's is followed")
	}
}
