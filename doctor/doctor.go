package doctor

import (
	"context"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
)

// Values of Finding.Status.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "fail"
)

// Finding is what one check has to say.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure"` // empty where all is well
}

// Target is what the checks look at.
type Target struct {
	Config  *configs.Config
	Machine device.Machine

	facts device.Facts
}

// checks are all of them, in the order in which they are told.
var checks = []func(context.Context, *Target) []Finding{
	checkSettings, checkMachine, checkJetPack, checkNVIDIA, checkRuntime, checkProviders, checkOpenCV, checkBundle,
	checkCameras, checkSandbox, checkMemory, checkDisk, checkThermal, checkClock, checkGroups, checkFiles,
	checkTrust, checkBroker, checkSecrets,
}

// Examine runs every check and tells what it finds as it goes. It changes nothing. The error is
// that of tell, or of ctx.
func Examine(ctx context.Context, t Target, tell func(Finding) error) error {
	t.facts = t.Machine.Facts()
	for _, check := range checks {
		for _, f := range check(ctx, &t) {
			if err := tell(f); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// checkSettings tells what may not be meant in the settings.
func checkSettings(_ context.Context, p *Target) (found []Finding) {
	for _, warning := range p.Config.Warnings {
		found = append(found, Finding{Check: "settings", Status: Warn, Found: warning,
			Cure: "correct the file; 'vggse-agent check-config' shows what is in force"})
	}
	return found
}

func one(check, status, found, cure string) []Finding {
	return []Finding{{Check: check, Status: status, Found: found, Cure: cure}}
}
