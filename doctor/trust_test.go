package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/release"
)

// TestTrust: without a key it is said, with one it is named, and a folder that others may change
// fails.
func TestTrust(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "trust")
	p := &Target{Config: &configs.Config{StateDir: t.TempDir(),
		Model: configs.Model{Trust: folder, RequireSignature: release.RequireAuto}}}
	step := func(what, status, said string) {
		t.Helper()
		f := checkTrust(t.Context(), p)
		if len(f) != 1 || f[0].Status != status || !strings.Contains(f[0].Found, said) ||
			(f[0].Cure == "") != (status == OK) {
			t.Errorf("%s: got %+v, want %s and %q", what, f, status, said)
		}
	}
	if os.Geteuid() != 0 { // nothing here can be root's
		step("another owner", Fail, "is not root's")
		return
	}
	step("no folder", Warn, "no key in "+folder)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	step("no key", Warn, "without a signature")
	key, err := release.NewKey(filepath.Join(t.TempDir(), "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(folder, "a.pub")
	if err := os.WriteFile(pub, []byte("RW\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	step("a damaged key", Fail, "a.pub is no minisign public key")
	if err := os.WriteFile(pub, key.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	step("a key", OK, "keys: "+key.ID)
	own := filepath.Join(p.Config.StateDir, "device.key")
	if err := os.WriteFile(own, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	step("the device's key, open to others", Fail, own+" may be read by others")
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
	}{{folder, 0o775}, {pub, 0o666}} {
		before, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		step("others may write", Fail, "others than root may write to "+c.path)
		if err := os.Chmod(c.path, before.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(pub, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	step("another owner", Fail, pub+" is not root's")
}
