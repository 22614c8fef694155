package release

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
)

// maker makes bundles on a device as teach, calibrate and prune do.
type maker struct {
	t      *testing.T
	parent string // folder of the signed bundle
}

// demoPublisher has the demo, which is a whole network, and releases it as n.
func demoPublisher(t *testing.T, n int64, to Place) *publisher {
	t.Helper()
	p := &publisher{t: t, dir: filepath.Join(t.TempDir(), "parts"), key: newTestKey(t)}
	if err := os.CopyFS(p.dir, os.DirFS(demo)); err != nil {
		t.Fatal(err)
	}
	p.push(to, n)
	return p
}

// taught is the parent with another head; change alters its manifest, and edit its network.
func (m *maker) taught(edit func(*onnx.Model), change ...func(*bundle.Spec)) string {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "taught")
	parent, err := bundle.Open(m.parent)
	if err != nil {
		m.t.Fatal(err)
	}
	spec := parent.Spec
	spec.Files = map[string]bundle.File{}
	spec.Output.Name, spec.Version = onnx.FeaturesOutput, spec.Version+"-taught"
	path, err := parent.Path(bundle.FileFP32)
	if err != nil {
		m.t.Fatal(err)
	}
	network, err := onnx.Open(path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer network.Close()
	output := parent.Spec.Output.Name
	if !parent.Spec.HasHead() && !network.Exposes(output) && !network.GiveFeatures(output, true) {
		m.t.Fatal("the parent's network has no features")
	}
	if edit != nil {
		edit(network)
	}
	m.file(dir, &spec, bundle.FileFP32, "fp32.onnx", func(w io.Writer) error { return onnx.Write(w, network) })
	m.file(dir, &spec, bundle.FileHead, bundle.HeadName, func(w io.Writer) error {
		_, err := io.WriteString(w, "a head "+m.t.Name())
		return err
	})
	for _, c := range change {
		c(&spec)
	}
	if err := bundle.WriteSpec(dir, &spec); err != nil {
		m.t.Fatal(err)
	}
	return dir
}

func (m *maker) file(dir string, s *bundle.Spec, key, name string, write func(io.Writer) error) {
	m.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	f, err := bundle.WriteFile(m.t.Context(), dir, name, io.Discard, write)
	if err != nil {
		m.t.Fatal(err)
	}
	s.Files[key] = f
}

// whole is a bundle with the parent's FP32 file and another one beside it, as calibrate makes it.
func (m *maker) whole() string {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "calibrated")
	if err := os.CopyFS(dir, os.DirFS(m.parent)); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range bundle.Extras() {
		_ = os.Remove(filepath.Join(dir, name)) // most are not there
	}
	b, err := bundle.Open(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.file(dir, &b.Spec, bundle.FileFP16, "fp16.onnx", func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return err
	})
	if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
		m.t.Fatal(err)
	}
	return dir
}

// install is 'model install'.
func (d *device) install(dir string) (string, error) {
	d.t.Helper()
	source, err := bundle.OpenSource(dir)
	if err != nil {
		return "", err
	}
	defer source.Close()
	approve, admitted := d.gate.Installing(d.t.Context(), Wanted{})
	i, err := d.store.InstallFrom(d.t.Context(), source, approve)
	if err != nil {
		return "", err
	}
	return i.Dir, admitted().Record(d.t.Context())
}

// TestLocal: what was taught here from a signed bundle is signed by the device and runs here alone,
// while its parent is trusted and the settings take it.
func TestLocal(t *testing.T) {
	stick := Place{Path: filepath.Join(t.TempDir(), "stick")}
	p := demoPublisher(t, 7, stick)
	d := newDevice(t, p.key.Public)
	m := &maker{t, p.dir}
	child := m.taught(nil)
	_, err := d.install(child)
	says(t, "without its parent", err, "needs its signed parent installed beside it")
	parent, err := d.pull(stick)
	if err != nil {
		t.Fatal(err)
	}
	installed, err := d.install(child)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(d.gate.StateDir, "device.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("device.key: %v, %v, want 0600", info, err)
	}
	a, err := d.gate.Installed(installed)
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.gate.deviceKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Parent{"parts", 7, parent.SHA256, p.key.Public.Fingerprint}
	if a.Local == nil || a.Local.Parent != want || a.Local.Kind != LocalTeach || a.SignedBy() != key.Public.ID {
		t.Errorf("got %+v, signed by %s, want the parent %+v and key %s", a.Local, a.SignedBy(), want, key.Public.ID)
	}
	twice := &maker{t, installed}
	if _, err := d.install(twice.taught(nil, func(s *bundle.Spec) { s.Labels[0] += "!" })); err != nil {
		t.Errorf("taught again: %v", err)
	}
	if _, err := d.install(installed); err != nil {
		t.Errorf("installed again: %v", err)
	}

	other := newDevice(t, p.key.Public)
	if _, err := other.pull(stick); err != nil {
		t.Fatal(err)
	}
	_, err = other.install(installed)
	says(t, "on another device", err, "was made on another device, or this one has another key since")
	if _, err := ReadSigned(installed); err == nil || !strings.Contains(err.Error(), "was made on a device") {
		t.Errorf("a local bundle is pushed: %v", err)
	}
	raw, signature, err := bundle.ReadStatement(installed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.gate.Examine(raw, signature, Wanted{})
	says(t, "carried in a layout", err, "was made on a device, which signed it")

	d.gate.AllowLocal = LocalNone
	_, err = d.gate.Installed(installed)
	says(t, "none", err, "takes none of those (model.allow_local: none)")
	d.gate.AllowLocal = ""
	for what, word := range map[string]string{"key": p.key.Public.ID, "bundle": parent.SHA256} {
		path := filepath.Join(d.gate.Folder, "revoked")
		if err := os.WriteFile(path, []byte(word+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = d.gate.Installed(installed)
		says(t, "the parent's "+what+" revoked", err, "revoked")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.gate.Installed(installed); err != nil {
		t.Errorf("no longer revoked: %v", err)
	}
}

// TestLocalByContent: nothing but the head may differ from the signed parent, whatever is claimed.
func TestLocalByContent(t *testing.T) {
	stick := Place{Path: filepath.Join(t.TempDir(), "stick")}
	p := demoPublisher(t, 1, stick)
	d := newDevice(t, p.key.Public)
	if _, err := d.pull(stick); err != nil {
		t.Fatal(err)
	}
	m := &maker{t, p.dir}
	oneWeight := func(g *onnx.Model) {
		w := &g.Graph.Initializers[0]
		w.Data = append([]byte(nil), w.Data...)
		w.Data[0] ^= 1
	}
	for _, c := range []struct {
		what, dir, want string
	}{
		{"one bit of a weight", m.taught(oneWeight), "fp32.onnx differs"},
		{"metadata", m.taught(func(g *onnx.Model) { g.SetProperty("a", "b") }), "fp32.onnx differs"},
		{"preprocessing", m.taught(nil, func(s *bundle.Spec) { s.Preprocess.Mean[0]++ }), "preprocess differs"},
		{"scores", m.taught(nil, func(s *bundle.Spec) { s.Output.Scores = "sigmoid" }), "output.scores differs"},
		{"another file for the runtime", m.taught(nil, func(s *bundle.Spec) {
			s.Files[bundle.FileINT8CPU] = s.Files[bundle.FileHead]
		}), "files.int8.cpu differs"},
		{"the network in the head's place", m.taught(nil, func(s *bundle.Spec) {
			s.Files[bundle.FileGolden] = s.Files[bundle.FileFP32]
		}), "fp32.onnx differs"},
		{"calibrated", m.whole(), "model.allow_local: teach"},
	} {
		_, err := d.install(c.dir)
		says(t, c.what, err, c.want)
	}
	d.gate.AllowLocal = LocalAll
	dir, err := d.install(m.whole())
	if err != nil {
		t.Fatal(err)
	}
	d.gate.AllowLocal = LocalTeach
	_, err = d.gate.Installed(dir)
	says(t, "no longer all", err, "model.allow_local: teach")
	pruned := m.taught(oneWeight, func(s *bundle.Spec) { delete(s.Files, bundle.FileHead) })
	d.gate.AllowLocal = LocalAll
	_, err = d.install(pruned)
	says(t, "a network of nobody", err, "differs")
	old, err := bundle.Open(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.install(m.taught(func(g *onnx.Model) {
		oneWeight(g)
		g.SetProperty("vggse.source_sha256", old.Spec.Files[bundle.FileFP32].SHA256)
	}))
	says(t, "made from the parent", err, "")
}

// TestDeviceKey: a key that others may read, or that is damaged, signs nothing.
func TestDeviceKey(t *testing.T) {
	g := &Gate{StateDir: t.TempDir()}
	first, err := g.deviceKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(g.StateDir, "device.key")
	if err := os.Remove(filepath.Join(g.StateDir, "device.pub")); err != nil {
		t.Fatal(err)
	}
	again, err := g.deviceKey(t.Context())
	if err != nil || again.Public.Fingerprint != first.Public.Fingerprint {
		t.Errorf("another key: %v", err)
	}
	if k, err := g.devicePublic(); err != nil || k == nil || k.Fingerprint != first.Public.Fingerprint {
		t.Errorf("public part: %+v, %v", k, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = g.deviceKey(t.Context())
	says(t, "readable", err, "may be read by others")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = g.deviceKey(t.Context())
	says(t, "damaged", err, "remove "+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	_, err = g.deviceKey(t.Context())
	says(t, "a link", err, "is no plain file")
}
