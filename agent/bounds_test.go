package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/release"
)

// TestBoundsOf: a statement that a trusted key signed may ask for more than the settings, never for
// less; one that nobody known here signed asks for nothing.
func TestBoundsOf(t *testing.T) {
	dir, trust, keys := filepath.Join(t.TempDir(), "parts"), t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(demoBundle)); err != nil {
		t.Fatal(err)
	}
	own := configs.Trial{Hold: 10 * time.Minute, Frames: 1000, Latency: 1.5}
	c := &configs.Config{StateDir: t.TempDir(), Model: configs.Model{Trust: trust,
		RequireSignature: release.RequireFalse, Trial: own}}
	check := func(what string, want configs.Trial) {
		t.Helper()
		if got := boundsOf(c, dir); got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	check("no statement", own)
	k, err := release.NewKey(filepath.Join(keys, "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := release.OpenSecretKey(filepath.Join(keys, "k.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := release.NewImage(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.Sign(m, release.SignOptions{Release: 1, Trial: release.Trial{Minutes: 30, Frames: 10, Latency: 3,
		Agreement: 0.8}}, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	check("no trusted key", own)
	if err := os.WriteFile(filepath.Join(trust, "k.pub"), k.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	check("signed", configs.Trial{Hold: 30 * time.Minute, Frames: 1000, Latency: 1.5, Agreement: 0.8})
}
