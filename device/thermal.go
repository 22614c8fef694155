package device

import (
	"fmt"
	"path"
	"strings"
)

// zone is one thermal zone that measures now.
type zone struct {
	name, dir string
	celsius   float64
}

// zones reads the thermal zones. One whose engine is switched off answers EAGAIN, or −256 °C.
// The zone is called CPU-therm by JetPack 5 and cpu-thermal by 6: here it is cpu.
func (m Machine) zones() []zone {
	var all []zone
	taken := make(map[string]bool)
	for _, file := range m.glob("sys/class/thermal/thermal_zone*/temp") {
		milli, ok := m.number(file)
		if !ok || milli <= -200_000 || milli > 1_000_000 {
			continue
		}
		dir := path.Dir(file)
		name := zoneName(m.text(dir + "/type"))
		if name == "" {
			name = path.Base(dir)
		}
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		taken[unique] = true
		all = append(all, zone{unique, dir, milli / 1000})
	}
	return all
}

// temperatures are those of the zones; nil where there are none.
func (m Machine) temperatures() map[string]float64 {
	var all map[string]float64
	for _, z := range m.zones() {
		if all == nil {
			all = make(map[string]float64)
		}
		all[z.name] = z.celsius
	}
	return all
}

func zoneName(kind string) string {
	name := strings.ToLower(kind)
	for _, suffix := range []string{"-thermal", "_thermal", "-therm"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}
