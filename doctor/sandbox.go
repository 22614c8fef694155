package doctor

import (
	"context"
	"strings"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
)

// checkSandbox says how far the processes of cameras are locked in: by this machine, and by the
// settings of each.
func checkSandbox(_ context.Context, p *Target) []Finding {
	level, why := worker.Supported()
	var own []string
	for _, c := range p.Config.Cameras {
		if mode := c.SandboxMode(); c.Enabled && mode != camera.SandboxAuto {
			own = append(own, c.Name+" "+mode)
		}
	}
	switch {
	case len(own) > 0:
		return one("sandbox", Warn,
			string(level)+" is possible here ("+why+"), but not asked for: "+strings.Join(own, ", "),
			"cameras.*.sandbox: auto, unless that camera needs it")
	case level == worker.LevelFull:
		return one("sandbox", OK, string(level)+": "+why, "")
	case level == worker.LevelSeccomp:
		return one("sandbox", Warn,
			string(level)+": "+why+"; what reads a camera could read the files of the agent's user",
			"a kernel with Landlock: Linux 5.13 or newer")
	}
	return one("sandbox", Warn, string(level)+": "+why,
		"add seccomp to SystemCallFilter of the unit, or use a newer kernel")
}
