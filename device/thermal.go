package device

import (
	"fmt"
	"path"
	"strings"
)

// temperatures reads the thermal zones. A zone whose engine is switched off answers EAGAIN, or −256 °C.
// The zone is called CPU-therm by JetPack 5 and cpu-thermal by 6: here it is cpu.
func (m Machine) temperatures() map[string]float64 {
	zones := make(map[string]float64)
	for _, file := range m.glob("sys/class/thermal/thermal_zone*/temp") {
		milli, ok := m.number(file)
		if !ok || milli <= -200_000 || milli > 1_000_000 {
			continue
		}
		name := zoneName(m.text(path.Dir(file) + "/type"))
		if name == "" {
			name = path.Base(path.Dir(file))
		}
		unique := name
		for n := 2; ; n++ {
			if _, taken := zones[unique]; !taken {
				break
			}
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		zones[unique] = milli / 1000
	}
	if len(zones) == 0 {
		return nil
	}
	return zones
}

func zoneName(kind string) string {
	name := strings.ToLower(kind)
	for _, suffix := range []string{"-thermal", "_thermal", "-therm"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}
