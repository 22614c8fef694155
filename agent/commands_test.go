package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// What was set outlives a restart, until its key is configured anew; a damaged file is passed over;
// a disk that cannot be written changes nothing.
func TestKept(t *testing.T) {
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	k := openOverrides(dir, quiet)
	if err := saveOverride(k, &k.camera("a").Threshold, 0.9, 0.6); err != nil {
		t.Fatal(err)
	}
	if err := saveOverride(k, &k.camera("a").Enabled, false, true); err != nil {
		t.Fatal(err)
	}
	k = openOverrides(dir, quiet)
	if got := inForce(&k.camera("a").Threshold, 0.6); got != 0.9 {
		t.Errorf("threshold %g after a restart, want 0.9", got)
	}
	if got := inForce(&k.camera("a").Threshold, 0.7); got != 0.7 {
		t.Errorf("threshold %g after a new configuration, want 0.7", got)
	}
	if got := inForce(&k.camera("a").Threshold, 0.6); got != 0.6 {
		t.Errorf("threshold %g: what is outlived came back", got)
	}
	if inForce(&k.camera("a").Enabled, true) || !inForce(&k.camera("b").Enabled, true) {
		t.Error("enabled: want a off and b on")
	}
	own := []vision.ClassThreshold{{Label: "b c", Score: 0.25}, {Label: "a", Score: 1}}
	if err := saveOverride(k, &k.camera("a").Thresholds, textOf(own), "x 0.5"); err != nil {
		t.Fatal(err)
	}
	k = openOverrides(dir, quiet)
	for configured, want := range map[string]string{"x 0.5": "[{a 1} {b c 0.25}]", "x 0.6": "[{x 0.6}]"} {
		fresh := *k.camera("a")
		if got := fmt.Sprint(fresh.thresholds(&vision.DecideConfig{Thresholds: []string{configured}})); got != want {
			t.Errorf("thresholds %s where %s is configured, want %s", got, configured, want)
		}
	}
	text, err := os.ReadFile(k.path)
	if err != nil {
		t.Fatal(err)
	}
	for what, damaged := range map[string]string{
		"a brace":   "{",
		"a bit":     strings.Replace(string(text), `b c 0.25`, `b c 0.05`, 1),
		"of a name": strings.Replace(string(text), `"enabled"`, `"enabned"`, 1),
	} {
		if err := os.WriteFile(k.path, []byte(damaged), 0o600); err != nil || damaged == string(text) {
			t.Fatal(what, err)
		}
		if k = openOverrides(dir, quiet); len(k.Cameras) > 0 {
			t.Errorf("%s: a damaged file was believed", what)
		}
	}
	k.path = filepath.Join(dir, "settings.json", "no", "folder")
	if err := saveOverride(k, &k.camera("a").Enabled, false, true); err == nil || errors.Is(err, os.ErrNotExist) ||
		k.camera("a").Enabled != nil {
		t.Errorf("got %v, %v", err, k.camera("a").Enabled)
	}
}
