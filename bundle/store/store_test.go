package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// testBundle writes a bundle whose weights are the given text and returns its folder. Nothing here
// runs it.
func testBundle(t testing.TB, weights string) string {
	t.Helper()
	dir := t.TempDir()
	sum := sha256.Sum256([]byte(weights))
	put(t, filepath.Join(dir, "net", "fp32.onnx"), weights)
	put(t, filepath.Join(dir, "report.json"), "{}") // which the manifest does not name
	err := bundle.WriteSpec(dir, &bundle.Spec{
		Schema: bundle.SpecSchema, Name: "parts", Version: weights,
		Architecture: bundle.Architecture{Family: "vgg16se", InputSize: 96, Width: 1, Reduction: 16, Hidden: 8,
			PoolSize: 3, Classes: 2},
		Input: bundle.Port{Name: "input"}, Output: bundle.Port{Name: "logits"},
		Preprocess: vision.Torchvision(96),
		Labels:     []string{"bolt", "nut"}, Provenance: bundle.Provenance{Tool: "a test",
			Created: time.Unix(0, 0).UTC()},
		Files: map[string]bundle.File{bundle.FileFP32: {Path: "net/fp32.onnx", SHA256: hex.EncodeToString(sum[:]),
			Bytes: int64(len(weights))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// packed is the bundle as one file.
func packed(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := bundle.Pack(context.Background(), dir, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func install(t *testing.T, s *Store, path string) Installed {
	t.Helper()
	i, err := s.Install(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The same bundle makes the same bytes, and the same digest in the store as a folder and as a file.
func TestPackAndInstall(t *testing.T) {
	dir := testBundle(t, "one")
	one := packed(t, dir)
	if err := os.Chtimes(filepath.Join(dir, "net/fp32.onnx"), time.Now(), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, packed(t, dir)) {
		t.Error("packed twice, two files")
	}
	file := filepath.Join(t.TempDir(), "one.vggse")
	put(t, file, string(one))
	a, b := install(t, At(t.TempDir()), dir), install(t, At(t.TempDir()), file)
	if want, _ := bundle.Digest(dir); a.SHA256 != want || b.SHA256 != want || a.Version != "one" || a.Active {
		t.Errorf("got %+v and %+v, want digest %s", a, b, want)
	}
	if _, err := os.Stat(filepath.Join(b.Dir, "report.json")); err == nil {
		t.Error("what the manifest does not name was packed")
	}
	if text, err := os.ReadFile(filepath.Join(b.Dir, "net/fp32.onnx")); string(text) != "one" {
		t.Errorf("got %q, %v", text, err)
	}
}

// No damage to one byte, and no cut, ever installs, nor leaves anything behind.
func TestInstallRefusesDamage(t *testing.T) {
	s, whole := At(t.TempDir()), packed(t, testBundle(t, "weights"))
	file := filepath.Join(t.TempDir(), "x.vggse")
	refused := func(text []byte, what string, at int) {
		put(t, file, string(text))
		i, err := s.Install(t.Context(), file)
		if err == nil && digestOf(t, i.Dir, "net/fp32.onnx") != digestOf(t, "", "weights") {
			t.Errorf("%s at %d was installed", what, at)
		}
	}
	for at := 0; at < len(whole); at += 7 {
		spoilt := bytes.Clone(whole)
		spoilt[at] ^= 0x20
		refused(spoilt, "a changed byte", at)
		refused(whole[:at], "a cut", at)
	}
	left, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".incoming") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	put(t, file, "not a tar")
	if _, err := s.Install(t.Context(), file); err == nil || !strings.Contains(err.Error(), "bundle pack") {
		t.Errorf("got %v, want the cure", err)
	}
}

// digestOf is the SHA-256 of a file, or of a text where there is no folder.
func digestOf(t *testing.T, dir, name string) string {
	if dir == "" {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

func FuzzInstall(f *testing.F) {
	f.Add(packed(f, testBundle(f, "weights")))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "x.vggse")
		put(t, file, string(b))
		s := At(t.TempDir())
		if i, err := s.Install(t.Context(), file); err == nil {
			if err := bundle.CheckAll(t.Context(), i.Dir); err != nil {
				t.Errorf("installed, but %v", err)
			}
		}
	})
}

// The active one and the last used are kept, and nothing active is removed.
func TestKeepsThree(t *testing.T) {
	s := At(t.TempDir())
	first := install(t, s, testBundle(t, "0"))
	if _, err := s.Activate(t.Context(), first.SHA256[:8]); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "2", "3"} {
		install(t, s, testBundle(t, v))
	}
	all, err := s.List()
	var versions string
	for _, i := range all {
		versions += i.Version
	}
	if err != nil || versions != "032" || !all[0].Active {
		t.Errorf("got %q (%+v), %v, want 032, the first active", versions, all, err)
	}
	if _, err := s.Remove(first.SHA256); err == nil || !strings.Contains(err.Error(), "activate another first") {
		t.Errorf("removing the active one: got %v", err)
	}
	if _, err := s.Remove(all[2].SHA256); err != nil {
		t.Error(err)
	}
	if _, err := s.Find(all[2].SHA256); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("got %v, want %v", err, ErrNotInstalled)
	}
}

// A model that cannot run, or ends the process twice, gives way to the one before.
func TestTrial(t *testing.T) {
	s := At(t.TempDir())
	a, b := install(t, s, testBundle(t, "a")), install(t, s, testBundle(t, "b"))
	active := func(want Installed, when string) {
		t.Helper()
		if got, ok, err := s.Active(); err != nil || !ok || got.SHA256 != want.SHA256 {
			t.Errorf("%s: got %.8s %v %v, want %.8s", when, got.SHA256, ok, err, want.SHA256)
		}
	}
	activate := func(i Installed) {
		t.Helper()
		if _, err := s.Activate(t.Context(), i.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	activate(a)
	if err := s.Confirm(a.SHA256); err != nil {
		t.Fatal(err)
	}
	activate(b)
	if err := s.Refuse(b.SHA256, "", errors.New("no memory")); err != nil {
		t.Fatal(err)
	}
	active(a, "refused")
	if r, err := s.Begin(t.Context(), "boot"); err != nil || r.Refused == nil || r.Refused.Reason != "no memory" ||
		r.Refused.SHA256 != b.SHA256 || r.Now {
		t.Errorf("got %+v %v", r, err)
	}
	activate(b)
	for start := range 5 { // ends that nobody recorded, as of a loss of power, condemn nothing
		if i, err := s.Begin(t.Context(), "boot"); err != nil || !i.OK || i.Refused != nil || i.SHA256 != b.SHA256 {
			t.Errorf("start %d: got %+v %v", start, i, err)
		}
	}
	for crash := range patience {
		if err := RecordEnding(filepath.Dir(s.dir), Ending{"boot", "core-dump", "dumped", "SEGV"}); err != nil {
			t.Fatal(err)
		}
		i, err := s.Begin(t.Context(), "boot")
		if want := crash == patience-1; err != nil || i.Now != want || (i.SHA256 == a.SHA256) != want {
			t.Errorf("after crash %d: got %+v %v", crash, i, err)
		}
	}
	c := install(t, s, testBundle(t, "c"))
	activate(b)
	activate(c) // while b runs, on its trial
	if err := s.Refuse(c.SHA256, b.SHA256, errors.New("no memory")); err != nil {
		t.Fatal(err)
	}
	active(b, "refused beside a model on trial")
	if err := s.Refuse(b.SHA256, "", errors.New("a NaN")); err != nil {
		t.Fatal(err)
	}
	active(a, "refused after all")
	put(t, filepath.Join(b.Dir, "net/fp32.onnx"), "B")
	if _, err := s.Activate(t.Context(), b.SHA256); err == nil {
		t.Error("a damaged bundle was activated")
	}
	active(a, "damaged")
}

// TestLostState: where bundles are installed and their state is gone, nobody says that none was ever
// active: the demo must not speak in their place. Activating one mends it.
func TestLostState(t *testing.T) {
	s := At(t.TempDir())
	if _, ok, err := s.Active(); ok || err != nil {
		t.Errorf("an empty store: active %v, %v", ok, err)
	}
	a := install(t, s, testBundle(t, "a"))
	if _, ok, err := s.Active(); ok || err != nil {
		t.Errorf("installed and never activated: active %v, %v", ok, err)
	}
	for name, lose := range map[string]func() error{
		"missing":                   func() error { return nil },
		"a link that leads nowhere": func() error { return os.Symlink("/nowhere/x", s.file()) },
	} {
		if err := errors.Join(os.Remove(s.file()), lose()); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Active(); !ok || !errors.Is(err, errStateDamaged) {
			t.Errorf("%s: active %v, %v", name, ok, err)
		}
		if _, err := s.Activate(t.Context(), a.SHA256); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i, ok, err := s.Active(); !ok || err != nil || i.SHA256 != a.SHA256 {
			t.Errorf("%s, activated again: %v %v", name, ok, err)
		}
	}
}

// TestWhatLiesInTheWay: folders and files where others should be are made room of or named; a state
// whose numbers nobody counted ranks nothing above what runs.
func TestWhatLiesInTheWay(t *testing.T) {
	dir := t.TempDir()
	s := At(dir)
	a, b := install(t, s, testBundle(t, "a")), install(t, s, testBundle(t, "b"))
	lock := filepath.Join(s.dir, ".lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Activate(t.Context(), a.SHA256); err != nil {
		t.Errorf("an empty folder in the place of the lock: %v", err)
	}
	for _, numbers := range []string{
		`"turn":9223372036854775807,"used":{"` + a.SHA256 + `":1}`,
		`"turn":-9,"used":{"` + b.SHA256 + `":9223372036854775807}`,
		`"turn":3,"trial":-1,"used":{"` + b.SHA256 + `":99}`,
	} {
		put(t, s.file(), `{"active":"`+a.SHA256+`",`+numbers+`}`)
		for _, version := range []string{"c", "d", "e"} {
			install(t, s, testBundle(t, version))
		}
		if i, ok, err := s.Active(); err != nil || !ok || i.SHA256 != a.SHA256 {
			t.Errorf("%s: active %+v, %v", numbers, i, err)
		}
		if _, err := s.Find(a.SHA256); err != nil {
			t.Errorf("%s: what runs made room: %v", numbers, err)
		}
		install(t, s, testBundle(t, "b"))
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.WriteFile(s.dir, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); err == nil || !strings.Contains(err.Error(), s.dir+" is not a folder") {
		t.Errorf("list where a file lies in the place of the store: %v", err)
	}
	install(t, s, testBundle(t, "c"))
	if aside, _ := filepath.Glob(s.dir + "-*"); len(aside) != 1 {
		t.Errorf("what lay in the place of the store is now %v", aside)
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.Symlink("/nowhere/disk", s.dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(t.Context(), testBundle(t, "c")); err == nil ||
		!strings.Contains(err.Error(), s.dir+" leads to a folder that is not there") {
		t.Errorf("install where a link leads to a disk that is away: %v", err)
	}
}
