package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/release"
)

// TestActivateWantsASignature: once a key is trusted, the command over MQTT runs nothing that no
// trusted key signed, and changes nothing either.
func TestActivateWantsASignature(t *testing.T) {
	trust := filepath.Join(t.TempDir(), "trust")
	c := &commands{host: &Host{}, config: &configs.Config{StateDir: t.TempDir(),
		Model: configs.Model{Demo: "demo", Trust: trust, RequireSignature: release.RequireAuto}}}
	s := store.At(c.config.StateDir)
	i, err := s.Install(t.Context(), "../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(trust, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := release.NewKey(filepath.Join(trust, "k"), ""); err != nil {
		t.Fatal(err)
	}
	_, err = c.activate(t.Context(), i.SHA256)
	if err == nil || !strings.Contains(err.Error(), "was not activated: the bundle is not signed") {
		t.Errorf("unsigned, with a key: %v", err)
	}
	if _, ok, _ := s.Active(); ok {
		t.Error("it is active")
	}
	if err := os.Remove(filepath.Join(trust, "k.pub")); err != nil {
		t.Fatal(err)
	}
	_, err = c.activate(t.Context(), i.SHA256)
	if active, ok, _ := s.Active(); !ok || active.SHA256 != i.SHA256 {
		t.Errorf("unsigned, without a key: %v, %v is active", err, active)
	}
}
