package device

import (
	"regexp"
	"strings"
)

// Facts are what does not change while the machine runs. A text is empty where the machine does not
// say.
type Facts struct {
	Model   string `json:"model,omitempty"`   // "NVIDIA Jetson Orin NX …"; of a PC the name that its maker gave it
	SoC     string `json:"soc,omitempty"`     // tegra194 (Xavier), tegra234 (Orin), tegra264 (Thor)
	Compute string `json:"compute,omitempty"` // CUDA's name of the GPU's architecture: sm_72, sm_87, sm_110
	L4T     string `json:"l4t,omitempty"`     // release of Jetson Linux: 36.4.3
	// the JetPack that came with it; "unknown" for an L4T that is not in the table
	JetPack string `json:"jetpack,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
	System  string `json:"system,omitempty"` // PRETTY_NAME of os-release(5)
}

// Jetson reports whether the machine is one.
func (f *Facts) Jetson() bool { return f.SoC != "" || f.L4T != "" }

// computes is the architecture of each SoC's GPU.
var computes = map[string]string{"tegra194": "sm_72", "tegra234": "sm_87", "tegra264": "sm_110"}

// jetPacks maps the beginning of an L4T release to its JetPack, longer beginnings first (NVIDIA's
// JetPack archive, read July 2026).
var jetPacks = []struct{ l4t, jetPack string }{
	{"39.2.1", "7.2.1"}, {"39.2", "7.2"}, {"39", "7"}, {"38.4", "7.1"}, {"38.2", "7.0"}, {"38", "7"},
	{"36.4.0", "6.1"}, {"36.3", "6.0"}, {"36.4", "6.2"}, {"36.5", "6.2"}, {"36", "6"},
	{"35.6.4", "5.1.6"}, {"35.1", "5.0"}, {"35", "5.1"}, {"34", "5.0"}, {"32", "4"},
}

var (
	release  = regexp.MustCompile(`^# R(\d{1,3}) \(release\), REVISION: (\d+(?:\.\d+)*)`)
	tegra    = regexp.MustCompile(`nvidia,(tegra\d+)`)
	prettyID = regexp.MustCompile(`(?m)^PRETTY_NAME="?([^"\n]*)"?$`)
)

// Facts reads them.
func (m Machine) Facts() Facts {
	f := Facts{Model: m.text("proc/device-tree/model"), Kernel: m.text("proc/sys/kernel/osrelease")}
	if f.Model == "" {
		f.Model = strings.TrimSpace(m.text("sys/class/dmi/id/sys_vendor") + " " +
			m.text("sys/class/dmi/id/product_name"))
	}
	if soc := tegra.FindStringSubmatch(m.text("proc/device-tree/compatible")); soc != nil {
		f.SoC, f.Compute = soc[1], computes[soc[1]]
	}
	if f.L4T = parseRelease(m.text("etc/nv_tegra_release")); f.L4T != "" {
		f.JetPack = jetPackOf(f.L4T)
	}
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		if name := prettyID.FindStringSubmatch(m.text(file)); name != nil {
			f.System = name[1]
			break
		}
	}
	return f
}

// parseRelease reads the first line of /etc/nv_tegra_release: "# R36 (release), REVISION: 4.3,
// GCID: …".
func parseRelease(text string) string {
	if r := release.FindStringSubmatch(text); r != nil {
		return r[1] + "." + r[2]
	}
	return ""
}

func jetPackOf(l4t string) string {
	for _, known := range jetPacks {
		if strings.HasPrefix(l4t+".", known.l4t+".") {
			return known.jetPack
		}
	}
	return "unknown"
}
