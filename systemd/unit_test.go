package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// threshold is the highest exposure that 'systemd-analyze security' may find, times ten.
const threshold = "20"

var units = []string{"vggse-agent.service", "vggse-agent@.service"}

// analyze runs systemd-analyze, which need not be the running manager's.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed (package systemd)")
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	return string(out), err
}

// verified copies the units with a program that exists, and returns what verify has to say. It ends
// with 0 for unknown keys and bad values too: only silence is good.
func verified(t *testing.T, edit func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for _, unit := range append(units, "vggse-agent-clocks.service") {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("/usr/bin/vggse-agent", "/bin/true", "/usr/bin/jetson_clocks",
			"/bin/true").Replace(string(text))
		path := filepath.Join(dir, strings.Replace(unit, "@.", "@line1.", 1))
		if err := os.WriteFile(path, []byte(edit(changed)), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	out, err := analyze(t, append([]string{"verify", "--man=no"}, paths...)...)
	if err != nil {
		t.Fatalf("systemd-analyze verify: %v: %s", err, out)
	}
	return out
}

func TestUnitsVerify(t *testing.T) {
	if out := verified(t, func(s string) string { return s }); out != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	wrong := verified(t, func(s string) string { return strings.Replace(s, "WatchdogSec=30s", "WatchdogSec=soon", 1) })
	if !strings.Contains(wrong, "soon") {
		t.Errorf("systemd-analyze verify passes over a bad value: %q", wrong)
	}
}

func TestUnitsAreHardened(t *testing.T) {
	for _, unit := range units {
		if out, err := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+threshold,
			unit); err != nil {
			t.Errorf("%s: %v, want an exposure of at most 2.0:\n%s", unit, err, out)
		}
	}
	text, err := os.ReadFile(units[0])
	if err != nil {
		t.Fatal(err)
	}
	soft := filepath.Join(t.TempDir(), "soft.service")
	if err := os.WriteFile(soft, []byte(strings.Replace(string(text), "SystemCallFilter=@system-service", "", 1)),
		0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+threshold, soft); err == nil {
		t.Errorf("the gate lets an unfiltered unit pass:\n%s", out)
	}
}

// TestTemplateIsTheUnit: the two differ in nothing but the name of the instance.
func TestTemplateIsTheUnit(t *testing.T) {
	var texts [2]string
	for i, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	back := strings.NewReplacer("cameras of %i see", "cameras see", "/etc/vggse-agent/%i.yaml",
		"/etc/vggse-agent/vggse-agent.yaml",
		"vggse-agent-%i", "vggse-agent", "vggse-agent/%i", "vggse-agent").Replace(texts[1])
	if back != texts[0] {
		t.Errorf("vggse-agent@.service differs from vggse-agent.service in more than its instance:\n%s", back)
	}
}

// TestDropInsVerify: each of them beside its unit is silent, too.
func TestDropInsVerify(t *testing.T) {
	dropIns, err := filepath.Glob("drop-ins/*.conf")
	if err != nil || len(dropIns) < 4 {
		t.Fatalf("drop-ins: %v %v", dropIns, err)
	}
	for _, dropIn := range dropIns {
		text, err := os.ReadFile(dropIn)
		if err != nil {
			t.Fatal(err)
		}
		out := verified(t, func(unit string) string {
			if !strings.Contains(unit, "Type=notify") {
				return unit
			}
			return unit + "\n" + string(text)
		})
		if out != "" {
			t.Errorf("%s: systemd-analyze verify says:\n%s", dropIn, out)
		}
	}
}
