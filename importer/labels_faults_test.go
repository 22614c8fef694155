package importer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

func labelFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "labels.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLabelsAreCleaned(t *testing.T) {
	for text, want := range map[string][]string{
		"\xef\xbb\xbfa\nb\n":             {"a", "b"},
		" bolt\nnut \r\n\r\nwasher\t\n":  {"bolt", "nut", "washer"},
		"Müller\nÖse\n":                  {"Müller", "Öse"},
		"1 euro\n2 euro\n":               {"1 euro", "2 euro"},
		"tench, Tinca tinca\ncock\n":     {"tench, Tinca tinca", "cock"},
		"a, b\nc, d\n":                   {"a, b", "c, d"},
		"0 faults\nmany faults\n":        {"0 faults", "many faults"},
		"3\n4\n5\n":                      {"3", "4", "5"},
		"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n": {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		"class 1\nclass 2\n":             {"class 1", "class 2"},
	} {
		if got, err := ReadLabels(labelFile(t, text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := ReadLabels("bolt, nut ,\twasher"); err != nil ||
		!slices.Equal(got, []string{"bolt", "nut", "washer"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhatIsNoListOfLabelsIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"M\xfcller\nb\n":                    "line 1 is not UTF-8",
		"a\nb\nK\xe4fer":                    "line 3 is not UTF-8",
		"\xff\xfea\x00\n\x00":               "UTF-16",
		"[\"a\",\n\"b\"]\n":                 "JSON",
		"{\"0\": \"a\"}":                    "JSON",
		"0 a\n1 b\n2 c\n":                   "number",
		"0,a\n1,b\n":                        "number",
		"0, tench\n1, goldfish\n":           "number",
		"1: a\n2: b\n":                      "number",
		"id,name\n0,a\n1,b\n":               "number",
		"a,0\nb,1\n":                        "number",
		"name;colour\na;red\nb;blue\n":      "CSV",
		"a\tx\nb\ty\n":                      "CSV",
		"\"a\"\n\"b\"\n":                    "quotation",
		"n01440764 tench\nn01443537 fish\n": "WordNet",
		"crane\nb\n\ncrane\n":               "line 1 and line 4",
		"a\nb\x1b[31m\n":                    "line 2 has a control character",
		"a\n" + strings.Repeat("x", 300):    "at most 256",
	} {
		if got, err := ReadLabels(labelFile(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want …%s…", text, got, err, want)
		}
	}
	for _, list := range []string{"a,,b", "a, a", "a,b\x00"} {
		if got, err := ReadLabels(list); err == nil {
			t.Errorf("%q: got %q, want it refused", list, got)
		}
	}
}

func TestScaleAndMeanThatContradictOneAnother(t *testing.T) {
	three := func(v float64) [3]float64 { return [3]float64{v, v, v} }
	for _, c := range []struct {
		scale, mean, std float64
		odd              bool
	}{
		{1.0 / 255, 0.485, 0.229, false}, {1.0 / 255, 0, 1, false}, {1, 123.675, 58.395, false}, {1, 103.9, 1, false},
		{1, 0, 1, false}, {1.0 / 127.5, 1, 1, false}, {1, 127.5, 127.5, false}, {1.0 / 255, 0.5, 0.5, false},
		{1.0 / 255, 123.675, 58.395, true}, {1.0 / 255, 123.675, 1, true}, {1, 0.485, 0.229, true}, {1, 0.5, 0.5, true},
		{1.0 / 255, 0.485, 58.395, true},
	} {
		p := vision.Preprocess{Scale: c.scale, Mean: three(c.mean), Std: three(c.std)}
		if got := contradiction(&p); (got != "") != c.odd {
			t.Errorf("scale %g, mean %g, std %g: got %q, want a word: %t", c.scale, c.mean, c.std, got, c.odd)
		}
	}
}
