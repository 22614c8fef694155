package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// TestReleaseOf: info tells who released what runs, and whether anybody must have.
func TestReleaseOf(t *testing.T) {
	dir, trust, keys := filepath.Join(t.TempDir(), "parts"), t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../demo/bundle")); err != nil {
		t.Fatal(err)
	}
	c := &configs.Config{StateDir: t.TempDir(),
		Model: configs.Model{Bundle: dir, Trust: trust, RequireSignature: release.RequireAuto}}
	check := func(what string, want mqtt.Release) {
		t.Helper()
		if got := releaseOf(c); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	check("no key", mqtt.Release{})
	k, err := release.NewKey(filepath.Join(keys, "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(trust, "k.pub"), k.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	check("unsigned", mqtt.Release{Required: true})
	secret, err := release.OpenSecretKey(filepath.Join(keys, "k.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := release.NewImage(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.Sign(m, release.SignOptions{Release: 5}, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	check("signed", mqtt.Release{Required: true, SignedBy: k.ID, Name: "parts", Number: 5})
}
