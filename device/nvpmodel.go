package device

import (
	"regexp"
	"strconv"
)

var (
	powerModel = regexp.MustCompile(`<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)\s*>`)
	status     = regexp.MustCompile(`pmode:(\d+)`)
)

// powerMode is the name of the power mode in force: nvpmodel keeps its number in a file, the names
// stand in its configuration. The tool itself is not asked; it may want to be root.
func (m Machine) powerMode() string {
	mode := status.FindStringSubmatch(m.text("var/lib/nvpmodel/status"))
	if mode == nil {
		return ""
	}
	id, err := strconv.Atoi(mode[1])
	if err != nil {
		return ""
	}
	if name := parsePowerModels(m.text("etc/nvpmodel.conf"))[id]; name != "" {
		return name
	}
	return "mode " + strconv.Itoa(id)
}

// parsePowerModels reads lines such as "< POWER_MODEL ID=0 NAME=MAXN >".
func parsePowerModels(text string) map[int]string {
	names := make(map[int]string)
	for _, line := range powerModel.FindAllStringSubmatch(text, -1) {
		if id, err := strconv.Atoi(line[1]); err == nil {
			names[id] = line[2]
		}
	}
	return names
}
