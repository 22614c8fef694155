package architecture_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLicences checks that the package carries the licences and notices of what is linked in.
func TestLicences(t *testing.T) {
	out, err := exec.Command("../../scripts/licences").Output()
	if err != nil {
		t.Fatalf("scripts/licences: %v", err)
	}
	for _, want := range []string{"==== Go: LICENSE", "==== github.com/eclipse/paho.mqtt.golang", "NOTICE",
		"Eclipse Public License", "Redistributions in binary form must reproduce the above copyright"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("scripts/licences does not print %q", want)
		}
	}
}
