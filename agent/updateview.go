package agent

import (
	"fmt"
	"sync"

	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/api/page"
	"github.com/vggse/vggse-agent/internal/redact"
	"github.com/vggse/vggse-agent/mqtt"
)

// updateView is what was last told of releases, for the service manager, the metrics and the page.
type updateView struct {
	mu       sync.Mutex
	now      mqtt.Update
	release  mqtt.Release // of what answers
	failures uint64
}

// told takes what goes to the update topic.
func (v *updateView) told(u mqtt.Update) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if u.State == mqtt.UpdateFailed && (v.now.State != u.State || v.now.Reason != u.Reason) {
		v.failures++
	}
	v.now = u
}

// released says whose the model is that answers.
func (v *updateView) released(r mqtt.Release) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.release = r
}

// String is the state in a few words, as 'systemctl status' shows it; empty while there is nothing to
// tell.
func (v *updateView) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	u := &v.now
	what := fmt.Sprintf("%s release %d", u.Name, u.Release)
	if u.Name == "" {
		what = "a new model"
	}
	switch u.State {
	case mqtt.UpdatePulling:
		return fmt.Sprintf("pulling %s: %.1f of %.1f MB", what, float64(u.Bytes)/1e6, float64(u.Of)/1e6)
	case mqtt.UpdateChecking:
		return "checking " + what
	case mqtt.UpdateWaiting:
		return fmt.Sprintf("waiting for %s: %s", what, redact.Text(u.Reason))
	case mqtt.UpdateShadow:
		return fmt.Sprintf("%s beside the model that answers: %s", what, redact.Text(u.Reason))
	case mqtt.UpdateProbation:
		return fmt.Sprintf("%s on probation: %s", what, redact.Text(u.Reason))
	case mqtt.UpdateFailed:
		return fmt.Sprintf("%s was not taken: %s", what, redact.Text(u.Reason))
	}
	return ""
}

func (v *updateView) figures() api.Update {
	v.mu.Lock()
	defer v.mu.Unlock()
	return api.Update{State: v.now.State, Name: v.now.Name, Release: v.now.Release, Bytes: v.now.Bytes, Of: v.now.Of,
		Installed: v.release.Number, Failures: v.failures}
}

func (v *updateView) page() page.Update {
	v.mu.Lock()
	defer v.mu.Unlock()
	return page.Update{State: v.now.State, Name: v.now.Name, Release: v.now.Release, Bytes: v.now.Bytes, Of: v.now.Of,
		Installed: v.release.Number, Reason: redact.Text(v.now.Reason), SHA256: v.now.Trial.SHA256,
		Pairs: v.now.Trial.Pairs, Common: v.now.Trial.Common, Agreed: v.now.Trial.Agreed}
}
