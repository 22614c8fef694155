package reach

import (
	"strings"
	"testing"
)

func TestMistake(t *testing.T) {
	for host, want := range map[string]string{
		"cam": "", "cam:554": "", "192.0.2.1:1": "", "[fe80::1]:554": "", "cam:123456789012": "no port behind",
		"[fe80::1%25eth0]": "", "cam:": "", "": "no host",
		":554": "no host",
		"a b":  "a blank", "cam,554": "the character ,", "<cam>": "the character <", `cam\x`: `the character \`,
		"192.0.2.1%20:1": "a percent sign",
		"cam:x":          "no port behind the colon", "cam:0": "1 to 65535", "cam:65536": "1 to " +
			"65535", "${CAM}": "the " +
			"character $",
	} {
		got := Mistake(host)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	if got := Mistake("u:SECRET"); strings.Contains(got, "SECRET") {
		t.Error(got)
	}
}

func TestZone(t *testing.T) {
	for host, want := range map[string]string{
		"[fe80::1%eth0]:1": "[fe80::1%25eth0]:1",
		"[fe80::1%25eth0]": "[fe80::1%25eth0]", "[::1]": "[::1]", "a%b": "a%b",
	} {
		if got := Zone(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
