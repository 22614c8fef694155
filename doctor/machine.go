package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/device"
)

const mib = 1 << 20

func checkMachine(_ context.Context, p *Target) []Finding {
	f := &p.facts
	found := cmp.Or(f.Model, "a machine that does not tell its model")
	for _, more := range []string{f.System, f.Kernel} {
		if more != "" {
			found += ", " + more
		}
	}
	return one("machine", OK, found, "")
}

func checkJetPack(_ context.Context, p *Target) []Finding {
	f := &p.facts
	found := fmt.Sprintf("JetPack %s (L4T %s), %s", f.JetPack, f.L4T, cmp.Or(f.Compute, f.SoC))
	switch {
	case !f.Jetson():
		return one("jetpack", OK, "not a Jetson", "")
	case f.L4T == "":
		return one("jetpack", Warn, f.SoC+" without /etc/nv_tegra_release",
			"install NVIDIA's Jetson Linux, or go on if you know why the file is not there")
	case f.JetPack == "4":
		return one("jetpack", Fail, found,
			"JetPack 4 is not supported: its Ubuntu 18.04 is older than the agent's C library; flash JetPack 5.1 "+
				"or newer")
	case f.JetPack == "unknown":
		return one("jetpack", Warn, found, "this release is newer than the agent's table; it may well work")
	}
	return one("jetpack", OK, found, "")
}

func checkMemory(_ context.Context, p *Target) []Finding {
	m := p.Machine.Telemetry().Memory
	if m == nil {
		return one("memory", Warn, "/proc/meminfo cannot be read", "mount /proc")
	}
	found := fmt.Sprintf("%d of %d MiB available", m.Available/mib, m.Total/mib)
	if m.Available < 768*mib { // the full-size network alone holds 554 MB
		return one("memory", Warn, found,
			"a full-size network needs about 768 MiB: end other programs, or prune the network")
	}
	return one("memory", OK, found, "")
}

// checkDisk looks at the file systems of the state and cache folders, or of what of their paths
// there is.
func checkDisk(_ context.Context, p *Target) []Finding {
	return []Finding{
		spaceFor("state_dir", p.Config.StateDir, 32*mib, 512*mib, "messages that wait and models need it"),
		spaceFor("cache_dir", p.Config.CacheDir, 64*mib, 1024*mib, "TensorRT's engines need it"),
	}
}

// spaceFor fails below least bytes and warns below enough.
func spaceFor(key, dir string, least, enough uint64, why string) Finding {
	folder := filepath.Clean(dir)
	for {
		if _, err := os.Stat(folder); err == nil || folder == filepath.Dir(folder) {
			break
		}
		folder = filepath.Dir(folder)
	}
	d, err := device.Usage(folder)
	if err != nil {
		return Finding{"disk", Fail, err.Error(), "set " + key + " to a folder that can be used"}
	}
	f := Finding{"disk", OK, fmt.Sprintf("%d of %d MiB free for %s (%s)", d.Available/mib, d.Total/mib, dir, key), ""}
	switch {
	case d.Available < least:
		f.Status, f.Cure = Fail, "free some space, or set "+key+" to another disk"
	case d.Available < enough:
		f.Status, f.Cure = Warn, "free some space: "+why
	}
	return f
}

func checkThermal(_ context.Context, p *Target) []Finding {
	t := p.Machine.Telemetry()
	hottest, zone := -300.0, ""
	for name, v := range t.Temperatures {
		if v > hottest || v == hottest && name < zone {
			hottest, zone = v, name
		}
	}
	found := "no temperature sensors"
	if zone != "" {
		found = fmt.Sprintf("%s at %.0f °C", zone, hottest)
	}
	if h := p.Machine.Headroom(); h.Zone != "" {
		found += fmt.Sprintf(", %s is slowed down from %.0f on", h.Zone, h.Limit)
	}
	if t.PowerMode != "" {
		found += ", power mode " + t.PowerMode
	}
	if h := t.Throttle; h != nil && len(h.Active) > 0 {
		return one("thermal", Warn, found+", held back: "+strings.Join(h.Active, ", "),
			"better cooling, a stronger supply, or a lower power mode (nvpmodel)")
	}
	return one("thermal", OK, found, "")
}

func checkClock(context.Context, *Target) []Finding {
	if !device.ClockSynced() {
		return one("clock", Warn, "not synchronised",
			"timedatectl set-ntp true; until then messages say ts_quality unsynced")
	}
	return one("clock", OK, "synchronised", "")
}

// checkGroups: cameras and the GPU's nodes belong to video, the render node to render.
func checkGroups(_ context.Context, p *Target) []Finding {
	if os.Geteuid() == 0 {
		return one("groups", OK, "root", "")
	}
	ids, err := os.Getgroups()
	if err != nil {
		return one("groups", Warn, err.Error(), "")
	}
	var missing []string
	for _, name := range []string{"video", "render"} {
		group, err := user.LookupGroup(name)
		if err != nil || !slices.ContainsFunc(ids, func(id int) bool { return fmt.Sprint(id) == group.Gid }) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return one("groups", OK, "video and render", "")
	}
	status := Warn
	if p.facts.Jetson() {
		status = Fail
	}
	return one("groups", status, "not in "+strings.Join(missing, " and "),
		"sudo usermod -aG video,render $USER, then log in again")
}
