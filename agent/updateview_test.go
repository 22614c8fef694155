package agent

import (
	"testing"

	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/mqtt"
)

// TestUpdateView: what the service does about releases is said in a few words, counted once for each
// failure, and shown with the release that answers.
func TestUpdateView(t *testing.T) {
	var v updateView
	if v.String() != "" {
		t.Errorf("says %q before anything was told", v.String())
	}
	v.released(mqtt.Release{Name: "parts", Number: 7})
	u := mqtt.Update{State: mqtt.UpdatePulling, Name: "parts", Release: 8, Bytes: 12_300_000, Of: 139_000_000}
	for _, c := range []struct{ state, reason, want string }{
		{mqtt.UpdatePulling, "", "pulling parts release 8: 12.3 of 139.0 MB"},
		{mqtt.UpdateChecking, "", "checking parts release 8"},
		{mqtt.UpdateWaiting, "the registry is away", "waiting for parts release 8: the registry is away"},
		{mqtt.UpdateShadow, "5 of 60 pictures", "parts release 8 beside the model that answers: 5 of 60 pictures"},
		{mqtt.UpdateProbation, "5 of 300 frames", "parts release 8 on probation: 5 of 300 frames"},
		{mqtt.UpdateFailed, "verify: no", "parts release 8 was not taken: verify: no"},
		{mqtt.UpdateFailed, "verify: no", "parts release 8 was not taken: verify: no"},
		{mqtt.UpdateIdle, "", ""},
	} {
		u.State, u.Reason = c.state, c.reason
		v.told(u)
		if got := v.String(); got != c.want {
			t.Errorf("%s: says %q, want %q", c.state, got, c.want)
		}
	}
	want := api.Update{State: "idle", Name: "parts", Release: 8, Bytes: u.Bytes, Of: u.Of, Installed: 7, Failures: 1}
	if got := v.figures(); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
}
