package release

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/vggse/vggse-agent/bundle"
)

var mutants = flag.Int("mutants", 300, "mutated releases of TestMutants")

// mutate changes bytes, takes some away, doubles some or puts others in.
func mutate(r *rand.Rand, text []byte) []byte {
	text = bytes.Clone(text)
	for range 1 + r.IntN(3) {
		if len(text) == 0 {
			return []byte{byte(r.Uint32())}
		}
		at := r.IntN(len(text))
		n := min(1+r.IntN(1<<r.IntN(10)), len(text)-at)
		switch r.IntN(6) {
		case 0:
			text[at] ^= 1 << r.IntN(8)
		case 1:
			text[at] = byte(r.Uint32())
		case 2:
			text = append(text[:at], text[at+n:]...)
		case 3:
			text = append(text[:at+n], append(bytes.Clone(text[at:at+n]), text[at+n:]...)...)
		case 4:
			words := []string{"null", "0", "-1", "1e99", "9223372036854775807", `"`, "{}", "[]", "../", "\x00",
				"\n", ","}
			text = append(text[:at], append([]byte(words[r.IntN(len(words))]), text[at:]...)...)
		case 5:
			text = text[:at]
		}
	}
	return text
}

// TestMutants: of releases whose statement, signature, index, manifest, pieces or tar file were
// changed at random, whatever is installed is what was signed, byte for byte, and nothing panics or
// allocates more than 64 MB. 'make soak' tries 10,000.
func TestMutants(t *testing.T) {
	p := newPublisher(t)
	m, s := p.make(7)
	want, err := bundle.Digest(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "stick")
	if err := Push(t.Context(), m, s, Place{Path: dir}); err != nil {
		t.Fatal(err)
	}
	whole := readTree(t, dir)
	var packed bytes.Buffer
	d, err := s.attach(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeTar(t.Context(), &packed, m, s, d); err != nil {
		t.Fatal(err)
	}
	gate := newDevice(t, p.key.Public).gate
	r := rand.New(rand.NewPCG(11, 29))
	passed, file := 0, filepath.Join(t.TempDir(), "x.tar")
	names := targets(m, whole)
	for i := range *mutants {
		place := Place{Path: dir}
		what := fmt.Sprintf("mutant %d", i)
		if r.IntN(4) == 0 {
			place.Path = file
			if err := os.WriteFile(file, mutate(r, packed.Bytes()), 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			name := names[r.IntN(len(names))]
			what += " of " + name
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, mutate(r, whole[name]), 0o644); err != nil {
				t.Fatal(err)
			}
			passed += tryMutant(t, what, place, gate, s, want)
			if err := os.WriteFile(path, whole[name], 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		passed += tryMutant(t, what, place, gate, s, want)
	}
	t.Logf("%d of %d mutants were what was signed and passed, as they must", passed, *mutants)
	if passed*2 > *mutants {
		t.Errorf("%d of %d mutants passed: the test changes what nobody looks at", passed, *mutants)
	}
}

// targets are the files of a layout that are worth changing: small ones more often than pieces.
func targets(m *Image, whole map[string][]byte) []string {
	names := []string{"index.json", "statement.json", "statement.json.minisig"}
	for name := range whole {
		if len(whole[name]) < 10_000 {
			names = append(names, name, name)
		}
	}
	for _, d := range []digest.Digest{m.Descriptor().Digest, m.layers[2].Digest} {
		names = append(names, filepath.Join("blobs", "sha256", d.Encoded()))
	}
	return names
}

// tryMutant opens, verifies and so reads all of a release; 1: it passed, and then it must be the
// one that was signed.
func tryMutant(t *testing.T, what string, place Place, gate *Gate, signed *Signed, want string) int {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	defer func() {
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s took %d MB", what, n>>20)
		}
	}()
	r, err := Open(t.Context(), place, gate, Wanted{})
	if err != nil {
		return 0
	}
	defer r.Close()
	if err := r.Verify(t.Context(), t.TempDir()); err != nil {
		return 0
	}
	if !bytes.Equal(r.raw, signed.Raw) || r.Digest() != signed.Statement.Manifest.Digest || hexSum(r.Text) != want {
		t.Errorf("%s passed and is another: statement %q, image %s", what, r.raw, r.Digest())
	}
	return 1
}

// FuzzStatement: a statement that is read is in its one form.
func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"format":"vggse.release/1","name":"parts","release":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseStatement(raw)
		if err != nil {
			return
		}
		if again, err := s.encode(); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%q is read as %q", raw, again)
		}
	})
}

// FuzzPlan: a manifest that is read makes files out of parts that fill them exactly.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"` + typeConfig + `"},"layers":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePlan(text)
		if err != nil || p.plain != nil {
			return
		}
		for i := range p.files {
			if err := p.files[i].check(); err != nil || !filepath.IsLocal(p.files[i].path) {
				t.Errorf("%+v: %v", p.files[i], err)
			}
		}
	})
}
