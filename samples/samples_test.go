package samples

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

func decision(at time.Time, label string, score float32) *vision.Decision {
	c := vision.Class{Label: label, Index: 2, Score: score}
	return &vision.Decision{Camera: "line1-left", Frame: 7, Time: at, Top: []vision.Class{c}, Stable: c}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range all {
		list = append(list, e.Name())
	}
	return list
}

// What is saved is the picture, pixel by pixel, and what was said of it.
func TestSave(t *testing.T) {
	f, err := Open(Config{Dir: filepath.Join(t.TempDir(), "new"), Bytes: 1 << 20, Count: 9})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(5, 4)
	picture.Width = 4 // rows with something at their end
	for i := range picture.Pix {
		picture.Pix[i] = byte(i * 3)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("", 3600))
	if err := f.Save(decision(at, "bolt m8/1", 0.41249), &picture, "uncertain", "abc"); err != nil {
		t.Fatal(err)
	}
	want := "20260102T020405.678Z-line1-left-bolt_m8_1-0.412"
	if got := strings.Join(names(t, f.cfg.Dir), " "); got != want+".json "+want+".png" {
		t.Errorf("files: %s", got)
	}
	file, err := os.Open(filepath.Join(f.cfg.Dir, want+".png"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil || img.Bounds().Dx() != 4 || img.Bounds().Dy() != 4 {
		t.Fatalf("%v, %v", img.Bounds(), err)
	}
	for y := range 4 {
		for x := range 4 {
			r, g, b, _ := img.At(x, y).RGBA()
			if p := picture.Pix[y*picture.Stride+3*x:]; byte(b>>8) != p[0] || byte(g>>8) != p[1] || byte(r>>8) != p[2] {
				t.Fatalf("pixel (%d, %d) is %d %d %d, want %v", x, y, r>>8, g>>8, b>>8, p[:3])
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(f.cfg.Dir, want+".json"))
	var s story
	if err != nil || json.Unmarshal(text, &s) != nil || s.Reason != "uncertain" || s.Label != "bolt m8/1" ||
		s.Top[0].Score != 0.41249 || s.Model != "abc" || s.Frame != 7 {
		t.Errorf("%s, %v", text, err)
	}
}

// The folder stays within its bounds, also after a restart, and nothing of anybody else's is
// touched.
func TestBounds(t *testing.T) {
	c := Config{Dir: t.TempDir(), Bytes: 1 << 20, Count: 3}
	if err := os.WriteFile(filepath.Join(c.Dir, "mine.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(4, 4)
	start := time.Now()
	save := func(f *Folder, i int) {
		t.Helper()
		if err := f.Save(decision(start.Add(time.Duration(i)*time.Second), "a", 0.5), &picture, "sampled",
			""); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		save(f, i)
	}
	if got := names(t, c.Dir); len(got) != 7 ||
		!strings.HasPrefix(got[0], start.Add(2*time.Second).UTC().Format(stamp)) || got[6] != "mine.png" {
		t.Errorf("after five of at most three: %v", got)
	}
	c.Count = 2
	if f, err = Open(c); err != nil {
		t.Fatal(err)
	}
	if got := names(t, c.Dir); len(got) != 5 {
		t.Errorf("opened with less room: %v", got)
	}
	f.cfg.Bytes = f.bytes + 1
	save(f, 9)
	if f.bytes > f.cfg.Bytes || len(f.kept) != 2 {
		t.Errorf("%d bytes of at most %d in %d pictures", f.bytes, f.cfg.Bytes, len(f.kept))
	}
	if _, err := Open(Config{Dir: filepath.Join(c.Dir, "mine.png", "x"), Count: 1}); err == nil ||
		!strings.HasPrefix(err.Error(), "samples.dir: ") {
		t.Errorf("a folder that cannot be: %v", err)
	}
}

func TestWorth(t *testing.T) {
	start := time.Now()
	f := &Folder{cfg: Config{Below: 0.6, Changed: true, Every: time.Minute, Gap: 2 * time.Second},
		last: map[string]time.Time{}}
	for _, tt := range []struct {
		after   time.Duration
		score   float32
		changed bool
		want    string
	}{
		{0, 0.9, false, "sampled"}, {time.Second, 0.1, true, ""}, {3 * time.Second, 0.5, true, "changed"},
		{5 * time.Second, 0.5, false, "uncertain"},
		{9 * time.Second, 0.6, false, ""}, {64 * time.Second, 0.9, false, ""},
		{65 * time.Second, 0.9, false, "sampled"},
	} {
		d := decision(start.Add(tt.after), "a", tt.score)
		d.Changed = tt.changed
		if got := f.Worth(d); got != tt.want {
			t.Errorf("after %v, score %g, changed %v: %q, want %q", tt.after, tt.score, tt.changed, got, tt.want)
		}
	}
}

// TestLongNames: the longest camera and label that there may be still name a file, which the folder's
// own group may read and nobody else: pictures may show people.
func TestLongNames(t *testing.T) {
	f, err := Open(Config{Dir: t.TempDir(), Bytes: 1 << 20, Count: 9})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(2, 2)
	d := decision(time.Unix(0, 0), strings.Repeat("ü", 256), 0.5)
	d.Camera = strings.Repeat("c", 128)
	if err := f.Save(d, &picture, "uncertain", "abc"); err != nil {
		t.Fatal(err)
	}
	saved := names(t, f.cfg.Dir)
	if len(saved) != 2 {
		t.Fatalf("files: %v", saved)
	}
	for _, name := range saved {
		info, err := os.Stat(filepath.Join(f.cfg.Dir, name))
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
