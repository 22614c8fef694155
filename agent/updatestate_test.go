package agent

import (
	"errors"
	"testing"

	"github.com/vggse/vggse-agent/mqtt"
)

// TestUpdateState: a trial stands before a pull that rests, a failure until the next pull begins.
func TestUpdateState(t *testing.T) {
	var told mqtt.Update
	u := newUpdateState(func(now mqtt.Update) { told = now })
	check := func(what, state, name string) {
		t.Helper()
		if told.State != state || told.Name != name {
			t.Errorf("%s: told %+v, want %s of %q", what, told, state, name)
		}
	}
	u.pulls(mqtt.Update{State: mqtt.UpdatePulling, Name: "parts"})
	check("a pull", mqtt.UpdatePulling, "parts")
	u.tries(mqtt.Update{State: mqtt.UpdateShadow, Name: "parts"})
	u.pulls(mqtt.Update{State: mqtt.UpdateIdle, Name: "parts"})
	check("a pull that rests", mqtt.UpdateShadow, "parts")
	u.failed(mqtt.Release{Name: "tools", Number: 3}, "0a", errors.New("a NaN"))
	check("refused", mqtt.UpdateFailed, "tools")
	if want := "model 0a was refused: a NaN"; told.Reason != want || told.Release != 3 {
		t.Errorf("told %+v, want the reason %q", told, want)
	}
	u.pulls(mqtt.Update{State: mqtt.UpdateIdle, Name: "parts"})
	check("still refused", mqtt.UpdateFailed, "tools")
	u.pulls(mqtt.Update{State: mqtt.UpdateWaiting, Name: "parts"})
	u.pulls(mqtt.Update{State: mqtt.UpdateIdle, Name: "parts"})
	check("after the next pull", mqtt.UpdateIdle, "parts")
	u.tries(mqtt.Update{State: mqtt.UpdateProbation})
	u.over()
	check("over", mqtt.UpdateIdle, "parts")
}
