package bundle

import (
	"fmt"
	"strings"
	"testing"
)

func TestManifestsHaveBounds(t *testing.T) {
	var many strings.Builder
	for i := range 6000 {
		many.WriteString("name: x\n")
		if i == 3000 {
			many.WriteString("version: y\n")
		}
	}
	var nested strings.Builder
	nested.WriteString("files:\n")
	for i := range 3000 {
		fmt.Fprintf(&nested, "  f%d: {path: a, path: b}\n", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a key 6,000 times": {many.String(), "there twice"},
		"keys inside":       {nested.String(), `"path" is there twice`},
		"aliases":           {"name: &a x\nversion: *a\n", "no aliases"},
		"a large file":      {"name: " + strings.Repeat("x", 2<<20), "at most"},
	} {
		if _, err := ParseSpec([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) ||
			len(err.Error()) > 300 {
			t.Errorf("%s: got %.300v, want …%s…", name, err, c.want)
		}
	}
	for name, text := range map[string]string{"long": strings.Repeat("x", 900_000), "escape": "a\x1b[31m",
		"zero":    "a\x00",
		"Latin-1": "M\xfcller"} {
		if err := checkText(text); err == nil {
			t.Errorf("%s: a label of this kind was taken", name)
		}
	}
	if err := checkText("Müller, 3 mm"); err != nil {
		t.Error(err)
	}
}
