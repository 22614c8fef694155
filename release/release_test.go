package release

import (
	"bytes"

	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/onnx"
)

// demo is a real bundle with pieces of many sizes.
const demo = "../demo/bundle"

// created is the time of every statement here.
var created = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// publisher has a bundle and a key.
type publisher struct {
	t     *testing.T
	dir   string // of the bundle
	key   *SecretKey
	plain bool
}

// newPublisher has a small network: three constants of which one gets no piece of its own, and the
// manifest of the demo.
func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{t: t, dir: filepath.Join(t.TempDir(), "parts"), key: newTestKey(t)}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(demo)
	if err != nil {
		t.Fatal(err)
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: onnx.Graph{Name: "g"}}
	for i, c := range []struct {
		name string
		n    int64
	}{{"features.0", 90_000}, {"features.1", 30_000}, {"bias", 100}, {"classifier.6", 17_000}} {
		v := make([]float32, c.n)
		for j := range v {
			v[j] = float32(i) + float32(j)*1e-3
		}
		m.Graph.Initializers = append(m.Graph.Initializers, onnx.NewFloat32(c.name, v, c.n))
	}
	p.write(b, bundle.FileFP32, "fp32.onnx", func(w io.Writer) error { return onnx.Write(w, m) })
	p.write(b, bundle.FileGolden, "golden.safetensors", func(w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte("golden "), 1000))
		return err
	})
	return p
}

// write writes one file of the bundle, and its manifest.
func (p *publisher) write(b *bundle.Bundle, key, name string, content func(io.Writer) error) {
	p.t.Helper()
	f, err := bundle.WriteFile(p.t.Context(), p.dir, name, io.Discard, content)
	if err != nil {
		p.t.Fatal(err)
	}
	b.Spec.Files[key] = f
	if err := bundle.WriteSpec(p.dir, &b.Spec); err != nil {
		p.t.Fatal(err)
	}
}

func newTestKey(t *testing.T) *SecretKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k")
	if _, err := NewKey(path, ""); err != nil {
		t.Fatal(err)
	}
	k, err := OpenSecretKey(path+".key", "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// make signs the bundle as it is now.
func (p *publisher) make(number int64, change ...func(*SignOptions)) (*Image, *Signed) {
	p.t.Helper()
	o := SignOptions{Release: number, Created: created}
	for _, c := range change {
		c(&o)
	}
	m, err := NewImage(p.t.Context(), p.dir, nil)
	if p.plain {
		m, err = NewPlainImage(p.t.Context(), p.dir, nil, "arm64", p.t.TempDir())
	}
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := Sign(m, o, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return m, s
}

func (p *publisher) push(to Place, number int64, change ...func(*SignOptions)) *Signed {
	p.t.Helper()
	m, s := p.make(number, change...)
	if err := Push(p.t.Context(), m, s, to); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// retrain changes the constants of the network whose names begin so, and with them the bundle.
func (p *publisher) retrain(names string) {
	p.t.Helper()
	path := filepath.Join(p.dir, "fp32.onnx")
	m, err := onnx.Open(path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer m.Close()
	for i := range m.Graph.Initializers {
		t := &m.Graph.Initializers[i]
		if !strings.HasPrefix(t.Name, names) || t.Type != onnx.Float32 {
			continue
		}
		v := t.Float32s()
		for j := range v {
			v[j] *= 1.0001
		}
		*t = onnx.NewFloat32(t.Name, v, t.Dims...)
	}
	b, err := bundle.Open(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b, bundle.FileFP32, "fp32.onnx", func(w io.Writer) error { return onnx.Write(w, m) })
}

// device is where releases are pulled to.
type device struct {
	t     *testing.T
	gate  *Gate
	store *store.Store
}

func newDevice(t *testing.T, keys ...Key) *device {
	t.Helper()
	d := &device{t: t, gate: &Gate{Folder: t.TempDir(), Require: RequireAuto, StateDir: t.TempDir(), Agent: "v1.4.0",
		Now: func() (time.Time, bool) { return created.Add(time.Hour), true }}}
	d.store = store.At(d.gate.StateDir)
	for _, k := range keys {
		d.trust(k)
	}
	return d
}

func (d *device) trust(k Key) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.gate.Folder, k.ID+".pub"), []byte(k.text+"\n"), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) pull(p Place, want ...Wanted) (*Pulled, error) {
	d.t.Helper()
	w := Wanted{}
	if len(want) > 0 {
		w = want[0]
	}
	r, err := Open(d.t.Context(), p, d.gate, w)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Pull(d.t.Context(), PullOptions{Store: d.store, Patience: time.Minute})
}

// holds says that the device has the bundle of the folder dir, whole, and nothing half done.
func (d *device) holds(i store.Installed, dir string) {
	d.t.Helper()
	want, err := bundle.Digest(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	if i.SHA256 != want {
		d.t.Errorf("installed %s, want %s", i.SHA256, want)
	}
	if err := bundle.CheckAll(d.t.Context(), i.Dir); err != nil {
		d.t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.gate.StateDir, "pull", "[0-9a-f]*")); len(left) > 0 {
		d.t.Errorf("left behind: %v", left)
	}
}

// startRegistry is a registry of its own; handlers wrap it, the last one outermost.
func startRegistry(t *testing.T, referrers bool, wrap ...func(http.Handler) http.Handler) string {
	t.Helper()
	h := registry.New(registry.WithReferrersSupport(referrers), registry.Logger(quiet()))
	for _, w := range wrap {
		h = w(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// places are one of each kind.
func places(t *testing.T) map[string]Place {
	return map[string]Place{
		"folder":               {Path: filepath.Join(t.TempDir(), "stick")},
		"tar":                  {Path: filepath.Join(t.TempDir(), "parts.tar")},
		"registry":             {Registry: startRegistry(t, true) + "/site/parts", Plain: true},
		"registry, tag schema": {Registry: startRegistry(t, false) + "/parts", Plain: true},
	}
}

// TestEveryPlace: what is pushed to any kind of place comes out of it, in both forms, byte for byte,
// and is there when it is pulled again.
func TestEveryPlace(t *testing.T) {
	for _, plain := range []bool{false, true} {
		p := newPublisher(t)
		if err := os.CopyFS(filepath.Join(p.dir, "demo"), os.DirFS(demo)); err != nil {
			t.Fatal(err)
		}
		p.dir, p.plain = filepath.Join(p.dir, "demo"), plain
		for name, place := range places(t) {
			s := p.push(place, 7)
			d := newDevice(t, p.key.Public)
			r, err := Open(t.Context(), place, d.gate, Wanted{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if r.Statement.Release != 7 || r.SignedBy() != p.key.Public.ID ||
				r.Digest() != s.Statement.Manifest.Digest {
				t.Errorf("%s: got %+v, signed by %s", name, r.Statement, r.SignedBy())
			}
			if err := r.Verify(t.Context(), t.TempDir()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			done, err := d.pull(place)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			d.holds(done.Installed, p.dir)
			if plain == false && done.Fetched != s.Statement.Bytes-specSize(t, p.dir) {
				t.Errorf("%s: fetched %d of %d bytes", name, done.Fetched, s.Statement.Bytes)
			}
			if a, err := d.gate.Installed(done.Dir); err != nil || a.SignedBy() != p.key.Public.ID {
				t.Errorf("%s: the installed bundle is signed by %q, %v", name, a.SignedBy(), err)
			}
			if done, err = d.pull(place); err != nil || done.Fetched != 0 {
				t.Errorf("%s: the second pull fetched %+v, %v", name, done, err)
			}
		}
	}
}

func specSize(t *testing.T, dir string) int64 {
	t.Helper()
	text, err := bundle.ReadSpec(dir)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(text))
}

// TestOnlyWhatChanged: of a release that shares constants with an installed one only the others come.
func TestOnlyWhatChanged(t *testing.T) {
	p := newPublisher(t)
	place := Place{Registry: startRegistry(t, true) + "/parts", Plain: true}
	p.push(place, 1)
	d := newDevice(t, p.key.Public)
	first, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	p.retrain("classifier.6")
	p.push(place, 2)
	done, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)
	if done.Fetched*5 > first.Fetched || done.Fetched == 0 || done.Reused+done.Fetched != first.Fetched {
		t.Errorf("a new head fetched %d and reused %d of %d bytes", done.Fetched, done.Reused, first.Fetched)
	}
	if before, err := d.store.Find(first.SHA256); err != nil || bundle.CheckAll(t.Context(), before.Dir) != nil {
		t.Errorf("the bundle before is damaged: %v", err)
	}
}

// TestSameBytes: the same bundle, key and time make the same files, folder and tar alike.
func TestSameBytes(t *testing.T) {
	p := newPublisher(t)
	for _, plain := range []bool{false, true} {
		p.plain = plain
		var folders []map[string][]byte
		for range 2 {
			dir := t.TempDir()
			p.push(Place{Path: filepath.Join(dir, "layout")}, 3)
			p.push(Place{Path: filepath.Join(dir, "layout.tar")}, 3)
			folders = append(folders, readTree(t, dir))
		}
		if !maps.EqualFunc(folders[0], folders[1], bytes.Equal) {
			t.Errorf("plain %t: two pushes of the same differ", plain)
		}
		if n := len(folders[0]); n < 9 {
			t.Errorf("plain %t: only %d files were written", plain, n)
		}
	}
}

func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestForward: a layout that was carried goes to a registry as it is.
func TestForward(t *testing.T) {
	p := newPublisher(t)
	tar := Place{Path: filepath.Join(t.TempDir(), "parts.tar")}
	p.push(tar, 4)
	r, err := Open(t.Context(), tar, &Gate{StateDir: t.TempDir()}, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, s, err := r.Image()
	if err != nil {
		t.Fatal(err)
	}
	to := Place{Registry: startRegistry(t, true) + "/parts", Plain: true}
	if err := Push(t.Context(), m, s, to); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, p.key.Public)
	done, err := d.pull(to)
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)
}

// TestKeptFiles: a device fetches the model files that it wants; goldens that are no part of the
// release stay where they are, and both are named.
func TestKeptFiles(t *testing.T) {
	p := newPublisher(t)
	b, err := bundle.Open(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.write(b, bundle.FileFP16, "fp16.onnx", func(w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte("half"), 50_000))
		return err
	})
	m, err := NewImage(t.Context(), p.dir, []string{bundle.FileGolden})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Sign(m, SignOptions{Release: 1, Created: created}, p.key)
	if err != nil {
		t.Fatal(err)
	}
	place := Place{Path: filepath.Join(t.TempDir(), "stick")}
	if err := Push(t.Context(), m, s, place); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, p.key.Public)
	for _, c := range []struct {
		keep   string
		absent []string
	}{{"fp16", []string{"fp32", "golden"}}, {"", []string{"golden"}}} {
		r, err := Open(t.Context(), place, d.gate, Wanted{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o := PullOptions{Store: d.store}
		if c.keep != "" {
			o.Keep = func([]string) []string { return []string{c.keep} }
		}
		done, err := r.Pull(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		d.holds(done.Installed, p.dir)
		opened, err := bundle.Open(done.Dir)
		if err != nil || !slices.Equal(opened.Absent, c.absent) || !slices.Equal(done.Absent, c.absent) {
			t.Errorf("keep %q: absent %v (told %v), want %v; %v", c.keep, opened.Absent, done.Absent, c.absent, err)
		}
	}
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// TestLayOut: constants are cut at fixed borders from their beginning, and what is left of the file
// is its skeleton; together they are the whole file, each byte once.
func TestLayOut(t *testing.T) {
	size := int64(50<<20 + 77)
	parts := layOut(size, []onnx.Span{{Offset: 100, Size: 40 << 20}, {Offset: 41 << 20, Size: 1 << 20}})
	var offsets []int64
	covered := map[int64]int64{}
	for _, p := range parts {
		offsets = append(offsets, p.offset)
		sum := int64(0)
		for _, s := range p.sections {
			covered[s.offset] = s.size
			sum += s.size
		}
		if sum != p.size || p.size > pieceBytes {
			t.Errorf("a part has %d bytes in %d", sum, p.size)
		}
	}
	if want := []int64{-1, 100, 100 + 16<<20, 100 + 32<<20, 41 << 20}; !slices.Equal(offsets, want) {
		t.Errorf("pieces at %v, want %v", offsets, want)
	}
	at := int64(0)
	for at < size && covered[at] > 0 {
		at += covered[at]
	}
	if at != size {
		t.Errorf("nothing covers byte %d of %d", at, size)
	}
	if parts = layOut(40<<20, nil); len(parts) != 3 || parts[2].size != 8<<20 {
		t.Errorf("a file without constants became %+v", parts)
	}
}
