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
		"m3 bolt\nm4 nut\nm5 washer\n":   {"m3 bolt", "m4 nut", "m5 washer"},
		"2-pin\n3-pin\n4-way\n":          {"2-pin", "3-pin", "4-way"},
		"1 euro\n2 euro\n50 cent\n":      {"1 euro", "2 euro", "50 cent"},
		"\u200ba\u200b\n\ufeffb\n":       {"a", "b"},
		"\u00a0a\nb\u3000\n\x1a":         {"a", "b"},
		"\u0645\u06cc\u200c\u062e\nb\n":  {"\u0645\u06cc\u200c\u062e", "b"},
		"bolt (M6)\n[spare]\n":           {"bolt (M6)", "[spare]"},
		"grade 0\ngrade 1\ngrade 2\n":    {"grade 0", "grade 1", "grade 2"},
		"N/A\nbolt/nut\n":                {"N/A", "bolt/nut"},
		"A. mellifera\nB. terrestris\nC. florea\nX. violacea\n": {"A. mellifera", "B. terrestris", "C. florea",
			"X. violacea"},
		"ratio 1:2\nratio 1:4\nratio 4:3\n": {"ratio 1:2", "ratio 1:4", "ratio 4:3"},
		"stage: 1\nstage: 2\n":              {"stage: 1", "stage: 2"},
		"<5 mm\n>5 mm\n#5 screw\n":          {"<5 mm", ">5 mm", "#5 screw"},
		"1/2 inch\n2/2 inch\n3/2 inch\n":    {"1/2 inch", "2/2 inch", "3/2 inch"},
		"0.5\n1.0\n2.0\n":                   {"0.5", "1.0", "2.0"},
		"0.5 mm\n1.0 mm\n2.0 mm\n":          {"0.5 mm", "1.0 mm", "2.0 mm"},
		"0.5 mm\n0.7 mm\n":                  {"0.5 mm", "0.7 mm"},
		"sieve 0.5\nsieve 0.8\n":            {"sieve 0.5", "sieve 0.8"},
		"python 3.9\nruby 0.8\n":            {"python 3.9", "ruby 0.8"},
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
		"0/cat\n1/dog\n2/bird\n":            "number",
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
		"m\u00fcller\nb\nmu\u0308ller\n":    "line 1 and line 3",
		"bol\u00adt\nb\n":                   "line 1 has an invisible character",
		"a\u202e\u0062\nb\n":                "line 1 has an invisible character",
		"K\ufffdfer\nb\n":                   "line 1 has the sign U+FFFD in it",
		"a\u2028b\nc\n":                     "line 1 has an invisible character",
		"2 c\n0 a\n1 b\n":                   "number",
		"100 a\n101 b\n102 c\n":             "number",
		"0 a\n1 b\n3 c\n":                   "number",
		"0|a\n1|b\n":                        "number",
		"#0 a\n#1 b\n":                      "number",
		"(1) a\n(2) b\n(3) c\n":             "number",
		"class0: a\nclass1: b\n":            "number",
		"name|colour\na|red\nb|blue\n":      "CSV",
		"a # bolt\nb # nut\n":               "CSV",
		"a,b,c\n":                           "one line",
		"a b c":                             "one line",
		"- a\n- b\n":                        "a mark",
		"A) a\nB) b\n":                      "a mark",
		"(a) cat\n(b) dog\n":                "a mark",
		"A: cat\nB: dog\nC: fox\n":          "a mark",
		"/m/011k07,Tortoise\n/m/012,Box\n":  "CSV",
		"":                                  "no labels in it",
		"\xef\xbb\xbf \r\n\r\n":             "no labels in it",
		"\u201ca\u201d\n\u201cb\u201d\n":    "quotation",
		"item {\n  id: 1\n  name: 'a'\n}\n": "a program or a configuration",
		"names: ['a', 'b']\nnc: 2\n":        "a program or a configuration",
		"<!DOCTYPE html>\n<html>\n":         "HTML",
		"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n": "git lfs pull",
		"A = 0,\nB = 1,\nC = 2,\n":       "number",
		"a (0)\nb (1)\n":                 "number",
		"0→a\n1→b\n":                     "number",
		"0：a\n1、b\n":                     "number",
		"names:\n- a\n- b\n":             "a configuration",
		"a,\nb,\nc\n":                    "a comma or semicolon behind",
		"a;\nb;\n":                       "CSV",
		"a   100\nbc   90\n":             "CSV",
		"./a\n./b\n":                     "paths",
		"a/\nb/\n":                       "paths",
		"D:\\data\\a\r\nD:\\data\\b\r\n": "paths",
		"├── a\n└── b\n":                 "a mark",
		"{\\rtf1\\ansi a\\\nb}":          "rich text",
		"PK\x03\x04\x00\x00":             "a spreadsheet",
		"a\nb\x1b[31m\n":                 "line 2 has a control character",
		"---\n- a\n- b\n- c\n":           "a mark",
		"label\n\"a\"\n\"b\"\n":          "quotation",
		"item { id: 1 name: 'a' }\nitem { id: 2 name: 'b' }\n": "a program or a configuration",
		"a { id = 0 }\nb { id = 1 }\n":                         "a program or a configuration",
		"CLASSES = (\n'a',\n'b',\n)\n":                         "a program or a configuration",
		"a: 0.98\nb: 0.01\nc: 0.01\n":                          "a score or a count",
		"a = 1e-3\nb = 0.9\n":                                  "a score or a count",
		"a: 120\nb: 80\n":                                      "a score or a count",
		"cat 0.98\ndog 0.01\nbig owl .01\n":                    "a score or a count",
		"cat 0.98\ndog 9.8e-3\n":                               "a score or a count",
		"label score\ncat 0.98\ndog 1.0\n":                     "a score or a count",
		"0.98 cat\n0.02 dog\n":                                 "a score or a count",
		"a#0\nb#1\nc#2\n":                                      "number",
		"０ a\n１ b\n２ c\n":                                      "number",
		"a<br>\nb<br>\n":                                       "HTML",
		"<li>a</li>\n<li>b</li>\n":                             "HTML",
		"# the parts of line 3\na\nb\n":                        "looks like a comment",
		"a\n// not used\nb\n":                                  "looks like a comment",
		"\x1f\x8b\x08\x00\xff\xfe":                             "compressed (gzip)",
		"\x89PNG\r\n\x1a\n\xff\xff":                            "a picture",
		"\x08\x08\x12\x07\xff\xfe\x01\x02":                     "no text",
		"a\n" + strings.Repeat("x", 300):                       "at most 256",
	} {
		if got, err := ReadLabels(labelFile(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want …%s…", text, got, err, want)
		}
	}
	for _, list := range []string{"a,,b", "a, a", "a,b\x00", "['a','b']", `"a","b"`, "0:a,1:b", "{0: a, 1: b}"} {
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

// The mean of ImageNet tells the order of its channels.
func TestChannelsAndMeanThatContradictOneAnother(t *testing.T) {
	for _, c := range []struct {
		channels string
		scale    float64
		mean     [3]float64
		odd      bool
	}{
		{"rgb", 1.0 / 255, [3]float64{0.485, 0.456, 0.406}, false},
		{"bgr", 1.0 / 255, [3]float64{0.406, 0.456, 0.485}, false},
		{"bgr", 1, [3]float64{103.939, 116.779, 123.68}, false},
		{"rgb", 1.0 / 255, [3]float64{0.48145466, 0.4578275, 0.40821073}, false}, // of CLIP
		{"rgb", 1.0 / 255, [3]float64{0.4914, 0.4822, 0.4465}, false},            // of CIFAR-10
		{"bgr", 1.0 / 255, [3]float64{0.485, 0.456, 0.406}, true},
		{"rgb", 1, [3]float64{103.939, 116.779, 123.68}, true},
		{"rgb", 1, [3]float64{104, 117, 123}, true},
	} {
		p := vision.Preprocess{Channels: c.channels, Scale: c.scale, Mean: c.mean, Std: [3]float64{1, 1, 1}}
		if got := contradiction(&p); (got != "") != c.odd {
			t.Errorf("%s, mean %g: got %q, want a word: %t", c.channels, c.mean, got, c.odd)
		}
	}
}
