package release

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// stick is a layout in a folder, in the hands of somebody without the key.
type stick struct {
	t   *testing.T
	p   *publisher
	dir string
	m   *Image
	s   *Signed
}

func newStick(t *testing.T, p *publisher, n int64) *stick {
	t.Helper()
	k := &stick{t: t, p: p, dir: filepath.Join(t.TempDir(), "stick")}
	k.m, k.s = p.make(n)
	if err := Push(t.Context(), k.m, k.s, Place{Path: k.dir}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *stick) blob(d digest.Digest) string {
	return filepath.Join(k.dir, "blobs", "sha256", d.Encoded())
}

// biggest is the largest piece.
func (k *stick) biggest() digest.Digest {
	best := k.m.layers[1]
	for _, d := range k.m.layers[1:] {
		if d.Size > best.Size {
			best = d
		}
	}
	return best.Digest
}

func (k *stick) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// flip changes one bit in the middle of a file.
func (k *stick) flip(path string) {
	k.t.Helper()
	text, err := os.ReadFile(path)
	k.must(err)
	text[len(text)/2] ^= 1
	k.must(os.WriteFile(path, text, 0o644))
}

// index changes the index.
func (k *stick) index(change func(*ocispec.Index)) {
	k.t.Helper()
	path := filepath.Join(k.dir, ocispec.ImageIndexFile)
	text, err := os.ReadFile(path)
	k.must(err)
	var index ocispec.Index
	k.must(json.Unmarshal(text, &index))
	change(&index)
	text, err = json.Marshal(index)
	k.must(err)
	k.must(os.WriteFile(path, text, 0o644))
}

// manifest changes the image's manifest, and the index with it, as somebody would who knows how.
func (k *stick) manifest(change func(*ocispec.Manifest)) {
	k.t.Helper()
	var m ocispec.Manifest
	k.must(json.Unmarshal(k.m.manifest, &m))
	change(&m)
	text, err := json.Marshal(m)
	k.must(err)
	d := digest.FromBytes(text)
	k.must(os.WriteFile(k.blob(d), text, 0o644))
	k.index(func(i *ocispec.Index) { i.Manifests[0].Digest, i.Manifests[0].Size = d, int64(len(text)) })
}

// statement leaves the stick with one statement: raw, signed so.
func (k *stick) statement(raw, signature []byte) {
	k.t.Helper()
	k.index(func(i *ocispec.Index) { i.Manifests = i.Manifests[:1] })
	k.must(os.WriteFile(filepath.Join(k.dir, bundle.StatementFile), raw, 0o644))
	k.must(os.WriteFile(filepath.Join(k.dir, bundle.SignatureFile), signature, 0o644))
}

// signed leaves the stick with a statement that the publisher's key signed although it is wrong.
func (k *stick) signed(old, new string) {
	k.t.Helper()
	raw := bytes.Replace(k.s.Raw, []byte(old), []byte(new), 1)
	if bytes.Equal(raw, k.s.Raw) {
		k.t.Fatalf("the statement has no %s: %s", old, k.s.Raw)
	}
	k.statement(raw, k.p.key.sign(k.s.Statement, raw))
}

// replace puts something else in the place of the largest piece.
func (k *stick) replace(make func(path string) error) {
	k.t.Helper()
	path := k.blob(k.biggest())
	k.must(os.Rename(path, path+".was"))
	k.must(make(path))
}

// TestTampering: whatever somebody without the key changes, it is refused with a sentence of its own
// and nothing is installed.
func TestTampering(t *testing.T) {
	p := newPublisher(t)
	other := newStick(t, p, 8)
	sentences := map[string]string{}
	for _, c := range []struct {
		name   string
		tamper func(*stick)
		want   string
	}{
		{"a piece", func(k *stick) { k.flip(k.blob(k.biggest())) }, "piece sha256:"},
		{"a piece cut off", func(k *stick) { k.must(os.Truncate(k.blob(k.biggest()), 99)) }, "has 99 bytes, the " +
			"release says"},
		{"a piece missing", func(k *stick) { k.must(os.Remove(k.blob(k.biggest()))) }, "is missing"},
		{"the order", func(k *stick) {
			k.manifest(func(m *ocispec.Manifest) { m.Layers[2].Annotations[annotationOrder] = "9" })
		}, "the statement is about image"},
		{"the manifest", func(k *stick) { k.flip(k.blob(k.m.Descriptor().Digest)) }, "the image's manifest: "},
		{"the config", func(k *stick) { k.flip(k.blob(k.configDigest())) }, "the image's config: "},
		{"model.yaml", func(k *stick) { k.flip(k.blob(k.m.layers[0].Digest)) }, "model.yaml: sha256:"},
		{"the statement", func(k *stick) {
			k.statement(bytes.Replace(k.s.Raw, []byte(`"release":7`), []byte(`"release":9`), 1), k.s.Signature)
		}, "the statement or its signature was changed"},
		{"the signature", func(k *stick) { k.statement(k.s.Raw, []byte("sig\n")) }, "the signature is none of " +
			"minisign's"},
		{"no signature", func(k *stick) {
			k.statement(k.s.Raw, nil)
			k.must(os.Remove(filepath.Join(k.dir, bundle.SignatureFile)))
		}, "the bundle is not signed"},
		{"a swapped referrer", func(k *stick) { k.statement(other.s.Raw, other.s.Signature) },
			"this is release 8 of parts, asked for was 7"},
		{"a foreign key", func(k *stick) {
			k.statement(k.s.Raw, newTestKey(t).sign(k.s.Statement, k.s.Raw))
		}, "is not trusted here"},
		{"a large statement", func(k *stick) { k.statement(make([]byte, 65<<10), k.s.Signature) },
			"statement.json has 66560 bytes"},
		{"a large signature", func(k *stick) { k.statement(k.s.Raw, make([]byte, 5<<10)) },
			"statement.json.minisig has 5120 bytes"},
		{"a large manifest", func(k *stick) {
			k.index(func(i *ocispec.Index) { i.Manifests[0].Size = 1 << 62 })
		}, "the image's manifest has 4611686018427387904 bytes"},
		{"a link", func(k *stick) {
			k.replace(func(path string) error { return os.Symlink(path+".was", path) })
		}, "is a link"},
		{"a pipe", func(k *stick) {
			k.replace(func(path string) error { return syscall.Mkfifo(path, 0o644) })
		}, "is a device or pipe"},
		{"a folder", func(k *stick) {
			k.replace(func(path string) error { return os.Mkdir(path, 0o755) })
		}, "is a folder"},
		{"an unknown field", func(k *stick) { k.signed(`{"format"`, `{"x":1,"format"`) }, `unknown field "x"`},
		{"another spelling", func(k *stick) { k.signed(`"format"`, `"Format"`) }, "is not in its one form"},
		{"a field twice", func(k *stick) { k.signed(`"release":7`, `"release":7,"release":7`) },
			"is not in its one form"},
		{"null", func(k *stick) { k.signed(`"files":["fp32","golden"]`, `"files":null`) }, "files cannot be"},
		{"more behind it", func(k *stick) { k.signed("}\n", "}{}\n") }, "goes on behind its end"},
		{"another format", func(k *stick) { k.signed("vggse.release/1", "vggse.release/2") }, "update the agent"},
		{"no bytes", func(k *stick) { k.signed(`"bytes":`, `"bytes":1`) }, "the layers have"},
		{"other files", func(k *stick) { k.signed(`["fp32","golden"]`, `["fp32"]`) },
			"files, classes or input are others"},
		{"no layout", func(k *stick) { k.must(os.Remove(filepath.Join(k.dir, "oci-layout"))) }, "it is no release"},
		{"no index", func(k *stick) { k.must(os.WriteFile(filepath.Join(k.dir, "index.json"), nil, 0o644)) },
			"index.json is damaged"},
	} {
		k := newStick(t, p, 7)
		c.tamper(k)
		d := newDevice(t, p.key.Public)
		_, err := d.pull(Place{Path: k.dir, Release: 7})
		says(t, c.name, err, c.want)
		if all, _ := d.store.List(); len(all) > 0 {
			t.Errorf("%s: %v is installed", c.name, all)
		}
		if h, err := d.gate.readHistory(); err != nil || len(h.Seen) > 0 {
			t.Errorf("%s: the history has %+v, %v", c.name, h, err)
		}
		if before, twice := sentences[c.want]; twice && c.want != "is not in its one form" {
			t.Errorf("%s is refused like %s: %s", c.name, before, c.want)
		}
		sentences[c.want] = c.name
	}
}

func (k *stick) configDigest() digest.Digest {
	var m ocispec.Manifest
	k.must(json.Unmarshal(k.m.manifest, &m))
	return m.Config.Digest
}

// TestOneGoodStatement: a statement that somebody added does not hide the right one, and the comment
// that minisign does not sign may change.
func TestOneGoodStatement(t *testing.T) {
	p := newPublisher(t)
	k := newStick(t, p, 7)
	k.must(os.WriteFile(filepath.Join(k.dir, bundle.SignatureFile),
		newTestKey(t).sign(k.s.Statement, k.s.Raw), 0o644))
	d := newDevice(t, p.key.Public)
	if _, err := d.pull(Place{Path: k.dir}); err != nil {
		t.Error(err)
	}
	comment := bytes.Replace(k.s.Signature, []byte("signature of a"), []byte("whatever"), 1)
	if _, err := d.gate.Examine(k.s.Raw, comment, Wanted{}); err != nil || bytes.Equal(comment, k.s.Signature) {
		t.Errorf("another untrusted comment: %v", err)
	}
}

// TestChangedAfterTheCheck: what changes between the look at a release and its installation is found
// then, on the stick and on the device's own disk.
func TestChangedAfterTheCheck(t *testing.T) {
	p := newPublisher(t)
	k := newStick(t, p, 7)
	d := newDevice(t, p.key.Public)
	r, err := Open(t.Context(), Place{Path: k.dir}, d.gate, Wanted{})
	k.must(err)
	defer r.Close()
	k.flip(k.blob(k.biggest()))
	_, err = r.Pull(t.Context(), PullOptions{Store: d.store})
	says(t, "on the stick", err, "is not what its digest says")
	k.flip(k.blob(k.biggest()))

	r, err = Open(t.Context(), Place{Path: k.dir}, d.gate, Wanted{})
	k.must(err)
	defer r.Close()
	_, err = r.Pull(t.Context(), PullOptions{Store: d.store, Tell: func(now Progress) {
		if now.State == StateChecking {
			k.flip(filepath.Join(d.gate.StateDir, "pull", k.biggest().Encoded()))
		}
	}})
	says(t, "on the disk", err, "is not what its digest says")
	if all, _ := d.store.List(); len(all) > 0 {
		t.Errorf("%v is installed", all)
	}
	done, err := d.pull(Place{Path: k.dir})
	k.must(err)
	d.holds(done.Installed, p.dir)
}

// TestHostileTars: members that lead out, are no files, are there twice or claim too much.
func TestHostileTars(t *testing.T) {
	for name, c := range map[string]struct {
		header tar.Header
		want   string
	}{
		"traversal": {tar.Header{Name: "../evil", Typeflag: tar.TypeReg}, "leads out of it"},
		"absolute":  {tar.Header{Name: "/etc/evil", Typeflag: tar.TypeReg}, "leads out of it"},
		"a dot":     {tar.Header{Name: "blobs/./x", Typeflag: tar.TypeReg}, "leads out of it"},
		"link": {tar.Header{Name: "index.json", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "plain " +
			"files alone"},
		"hard link": {tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, "plain files alone"},
		"device":    {tar.Header{Name: "x", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}, "is a device or pipe"},
		"twice":     {tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg}, "has oci-layout twice"},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(f)
		for _, h := range []tar.Header{{Name: "oci-layout", Typeflag: tar.TypeReg}, c.header} {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Place{Path: path}.Open()
		says(t, name, err, c.want)
	}
	p := newPublisher(t)
	whole := Place{Path: filepath.Join(t.TempDir(), "parts.tar")}
	p.push(whole, 1)
	info, err := os.Stat(whole.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(whole.Path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	_, err = whole.Open()
	says(t, "cut off", err, "more than the tar file has left")
}

// TestPlansAreBounded: a manifest is refused whose parts do not make files, even a signed one.
func TestPlansAreBounded(t *testing.T) {
	p := newPublisher(t)
	image, _ := p.make(1)
	for name, c := range map[string]struct {
		change func(*ocispec.Manifest)
		want   string
	}{
		"as it is":          {func(*ocispec.Manifest) {}, ""},
		"a large piece":     {func(m *ocispec.Manifest) { m.Layers[2].Size = pieceBytes + 1 }, "a piece has at most"},
		"a negative one":    {func(m *ocispec.Manifest) { m.Layers[2].Size = -1 }, "which cannot be"},
		"no digest":         {func(m *ocispec.Manifest) { m.Layers[2].Digest = "sha512:00" }, "which cannot be"},
		"out of the bundle": {note(2, annotationPath, "../../etc/passwd"), "leads out of a bundle"},
		"absolute":          {note(2, annotationPath, "/etc/passwd"), "leads out of a bundle"},
		"the order":         {note(2, annotationOrder, "5"), "stands in another order"},
		"no order":          {note(2, annotationOrder, ""), "has no number"},
		"swapped": {func(m *ocispec.Manifest) { m.Layers[2], m.Layers[3] = m.Layers[3], m.Layers[2] },
			"stands in another order"},
		"overlap": {note(3, annotationOffset, "100"), "where it cannot be"},
		"behind":  {note(3, annotationOffset, "9223372036854775807"), "where it cannot be"},
		"bomb":    {note(1, annotationSize, "9223372036854775807"), "the file has 9223372036854775807"},
		"no size": {note(1, annotationSize, ""), "does not say size and SHA-256"},
		"first missing": {func(m *ocispec.Manifest) { m.Layers = append(m.Layers[:1], m.Layers[2:]...) }, "another " +
			"order"},
		"no model.yaml": {func(m *ocispec.Manifest) { m.Layers = m.Layers[1:] }, "first layer must be model.yaml"},
		"another image": {func(m *ocispec.Manifest) { m.Config.MediaType = "application/x" }, "none of a release"},
		"nothing":       {func(m *ocispec.Manifest) { m.Layers = nil }, "none that 'vggse-agent release push' makes"},
		"two tars": {func(m *ocispec.Manifest) { m.Config.MediaType = ocispec.MediaTypeImageConfig },
			"must have one plain tar layer"},
	} {
		var m ocispec.Manifest
		if err := json.Unmarshal(image.manifest, &m); err != nil {
			t.Fatal(err)
		}
		c.change(&m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsePlan(text)
		says(t, name, err, c.want)
	}
	_, err := parsePlan([]byte("null"))
	says(t, "null", err, "none that")
}

// note sets an annotation of a layer.
func note(layer int, key, value string) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) { m.Layers[layer].Annotations[key] = value }
}

// TestExpired: the last row of the table wants a clock.
func TestExpired(t *testing.T) {
	p := newPublisher(t)
	place := Place{Path: filepath.Join(t.TempDir(), "stick")}
	p.push(place, 1, func(o *SignOptions) { o.Valid = time.Minute })
	d := newDevice(t, p.key.Public)
	_, err := d.pull(place)
	says(t, "expired", err, "expired at 2026-11-29T12:01:00Z: sign it anew")
}

// TestAssembly: a file that is read out of its parts is the file, whatever the reader's buffer, and
// ends with an error where a part is too short, too long or another.
func TestAssembly(t *testing.T) {
	text := []byte(strings.Repeat("0123456789", 50))
	layer := func(b []byte) ocispec.Descriptor {
		return ocispec.Descriptor{Digest: digest.FromBytes(b), Size: int64(len(b))}
	}
	gaps := append(append(append([]byte{}, text[:7]...), text[107:200]...), text[300:]...)
	blobs := map[digest.Digest][]byte{}
	for _, b := range [][]byte{gaps[:50], gaps[50:], text[7:107], text[200:300]} {
		blobs[digest.FromBytes(b)] = b
	}
	f := &planFile{path: "x", size: int64(len(text)), skeleton: []ocispec.Descriptor{layer(gaps[:50]),
		layer(gaps[50:])},
		pieces: []planPiece{{7, layer(text[7:107])}, {200, layer(text[200:300])}}}
	for _, buffer := range []int{1, 3, 64, 4096} {
		got := &bytes.Buffer{}
		r := assemble(f, func(d ocispec.Descriptor) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(blobs[d.Digest])), nil
		})
		if _, err := io.CopyBuffer(struct{ io.Writer }{got}, struct{ io.Reader }{r}, make([]byte, buffer)); err != nil {
			t.Errorf("buffer of %d: %v", buffer, err)
		}
		if !bytes.Equal(got.Bytes(), text) {
			t.Errorf("buffer of %d: got %q", buffer, got)
		}
	}
	for at, d := range f.layers() {
		for name, wrong := range map[string][]byte{"short": blobs[d.Digest][1:], "long": append(text[:0:0],
			append(blobs[d.Digest], 'x')...), "another": bytes.ToUpper(bytes.Repeat([]byte("x"), int(d.Size)))} {
			r := assemble(f, func(o ocispec.Descriptor) (io.ReadCloser, error) {
				if o.Digest == d.Digest {
					return io.NopCloser(bytes.NewReader(wrong)), nil
				}
				return io.NopCloser(bytes.NewReader(blobs[o.Digest])), nil
			})
			_, err := io.Copy(io.Discard, r)
			says(t, name, err, "is not what its digest says")
			if err == nil {
				t.Errorf("part %d", at)
			}
		}
	}
}

// TestDamagedHistory: where no key is trusted, nothing was ever taken by one, and a damaged history
// keeps nobody from installing; where one is, an older release could pass, so a person must say so.
func TestDamagedHistory(t *testing.T) {
	key := newPublisher(t).key.Public
	for name, damage := range map[string]func(path string) error{
		"noise":    func(path string) error { return os.WriteFile(path, []byte("\xff{"), 0o600) },
		"cut":      func(path string) error { return os.WriteFile(path, []byte(`{"seen":[`), 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a bit": func(path string) error {
			g := Gate{StateDir: filepath.Dir(path)}
			err := g.writeHistory(&history{Seen: []seen{{"parts", "k", 7, "b"}}})
			text, failed := os.ReadFile(path)
			damaged := strings.Replace(string(text), `"release":7`, `"release":6`, 1)
			if damaged == string(text) {
				t.Errorf("no number in %s", text)
			}
			return errors.Join(err, failed, os.WriteFile(path, []byte(damaged), 0o600))
		},
	} {
		open, guarded := newDevice(t), newDevice(t, key)
		for _, d := range []*device{open, guarded} {
			if err := damage(d.gate.historyPath()); err != nil {
				t.Fatal(err)
			}
		}
		if a, err := open.gate.Examine(nil, nil, Wanted{}); err != nil || a.Statement != nil {
			t.Errorf("%s, no key is trusted: %v", name, err)
		}
		if _, err := guarded.gate.Examine(nil, nil, Wanted{}); err == nil ||
			!strings.Contains(err.Error(), "is damaged: remove it by hand") {
			t.Errorf("%s, a key is trusted: %v", name, err)
		}
	}
}

// TestTrustIsAFolder: a key in the place of the folder is told as what it is.
func TestTrustIsAFolder(t *testing.T) {
	d := newDevice(t, newPublisher(t).key.Public)
	keys, err := filepath.Glob(filepath.Join(d.gate.Folder, "*.pub"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	d.gate.Folder = keys[0]
	_, err = d.gate.Trust()
	says(t, "a file", err, "model.trust must be a folder with .pub files, "+keys[0]+" is none")
}
