package agent

import (
	"encoding/json"
	"io"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/mqtt"
)

// trialFile keeps, in the state folder, what was found of the last new model.
const trialFile = "last-trial.json"

// trialReport is its content.
type trialReport struct {
	At      time.Time  `json:"at"`
	Stage   string     `json:"stage"`            // mqtt.UpdateShadow or mqtt.UpdateProbation
	Result  string     `json:"result"`           // compared, confirmed or refused
	Reason  string     `json:"reason,omitempty"` // of refused, for people
	Name    string     `json:"name,omitempty"`   // of the release
	Release int64      `json:"release,omitempty"`
	Found   mqtt.Trial `json:"found"`
}

// keepReport writes down how a stage of a model's trial ended: well as result, or refused for why.
func (c *modelSwap) keepReport(stage, result string, why error, found mqtt.Trial, r mqtt.Release) {
	report := trialReport{At: time.Now().UTC(), Stage: stage, Result: result, Name: r.Name, Release: r.Number,
		Found: found}
	if why != nil {
		report.Result, report.Reason = "refused", why.Error()
	}
	path := filepath.Join(c.requests.inForce().StateDir, trialFile)
	err := atomicfile.WriteFileMode(path, 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(report) })
	if err != nil {
		c.log.Warn("what was found of the new model was not kept", "error", err)
	}
}
