package device

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// unpack makes a file system of "-- path --" lines with the content of each file below; \0 is a
// NUL.
func unpack(tree string) fstest.MapFS {
	files := make(fstest.MapFS)
	var file *fstest.MapFile
	for line := range strings.Lines(tree) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		name, ends := strings.CutSuffix(name, " --")
		switch {
		case ok && ends && fs.ValidPath(name):
			file = &fstest.MapFile{}
			files[name] = file
		case file != nil:
			file.Data = append(file.Data, strings.ReplaceAll(line, `\0`, "\x00")...)
		}
	}
	return files
}

func trees(tb testing.TB) map[string]string {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.tree")
	if err != nil || len(paths) < 6 {
		tb.Fatalf("testdata holds %d trees (%v), want the six machines", len(paths), err)
	}
	all := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".tree")] = string(text)
	}
	return all
}

// TestMachines reads every fixture and compares with what a person has checked against it.
func TestMachines(t *testing.T) {
	for name, tree := range trees(t) {
		t.Run(name, func(t *testing.T) {
			m := Machine{unpack(tree)}
			got, err := json.MarshalIndent(struct {
				Facts     Facts     `json:"facts"`
				Telemetry Telemetry `json:"telemetry"`
				Headroom  Headroom  `json:"headroom"`
				Software  Software  `json:"software,omitzero"`
			}{m.Facts(), m.Telemetry(), m.Headroom(), m.Software()}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s reads as\n%s\nwant\n%s", name, got, want)
			}
		})
	}
}

// TestJetPackOf goes by whole numbers: 36.40 is not 36.4.
func TestJetPackOf(t *testing.T) {
	for l4t, want := range map[string]string{
		"36.4.3": "6.2", "36.4.0": "6.1", "36.40": "6", "36.3.0": "6.0", "35.6.4": "5.1.6", "35.4.1": "5.1",
		"38.4.0": "7.1", "39.2.0": "7.2", "39.2.1": "7.2.1", "32.7.4": "4", "99.1": "unknown", "3": "unknown",
	} {
		if got := jetPackOf(l4t); got != want {
			t.Errorf("jetPackOf(%q) = %q, want %q", l4t, got, want)
		}
	}
}

// TestThisMachine reads the real files of whatever Linux runs the test.
func TestThisMachine(t *testing.T) {
	m := At("/")
	telemetry := m.Telemetry()
	if m.Facts().Kernel == "" || telemetry.Memory == nil || telemetry.Memory.Total < 1<<20 || telemetry.Uptime <= 0 {
		t.Errorf("facts %+v, telemetry %+v: want kernel, memory and uptime", m.Facts(), telemetry)
	}
	disk, err := Usage(t.TempDir())
	if err != nil || disk.Total < disk.Available || disk.Total == 0 {
		t.Errorf("Usage = %+v, %v", disk, err)
	}
	if _, err := Usage(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("Usage of a missing folder = %v, want an error that names it", err)
	}
}

// TestSensorsThatRefuse: a file that opens and cannot be read, as a folder cannot, is absent.
func TestSensorsThatRefuse(t *testing.T) {
	root := t.TempDir()
	zone := filepath.Join(root, "sys/class/thermal/thermal_zone0")
	for _, dir := range []string{filepath.Join(zone, "temp"), filepath.Join(root, "proc/meminfo"),
		filepath.Join(root, "proc/uptime")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := json.Marshal(At(root).Telemetry()); string(got) != "{}" {
		t.Errorf("telemetry = %s, want nothing", got)
	}
}

// FuzzMachine: whatever stands in the files, the answer can be said as JSON and keeps its bounds.
func FuzzMachine(f *testing.F) {
	for _, tree := range trees(f) {
		f.Add(tree)
	}
	f.Fuzz(func(t *testing.T, tree string) {
		m := Machine{unpack(tree)}
		got, facts := m.Telemetry(), m.Facts()
		if h := m.Headroom(); h.Share < 0 || h.Zone != "" && h.Limit < 45 {
			t.Errorf("headroom %+v", h)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("telemetry %+v: %v", got, err)
		}
		if g := got.GPU; g != nil && g.Load != nil && !(*g.Load >= 0 && *g.Load <= 1) {
			t.Errorf("GPU load %g", *g.Load)
		}
		if v := got.Memory; v != nil && v.Total == 0 || got.Uptime < 0 {
			t.Errorf("memory %+v, uptime %g", v, got.Uptime)
		}
		if facts.L4T != "" && facts.JetPack == "" {
			t.Errorf("L4T %q without a JetPack", facts.L4T)
		}
	})
}
