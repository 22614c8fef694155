package release

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
)

// says holds an error against the sentence that it must have.
func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want one that says %q", what, err, want)
	}
}

// TestNumbersRise: a device goes up, stays, and never down, for each key by itself; by hand it may.
func TestNumbersRise(t *testing.T) {
	a, b := newPublisher(t), newPublisher(t)
	d := newDevice(t, a.key.Public, b.key.Public)
	dir := t.TempDir()
	place := func(p *publisher, n int64) Place {
		to := Place{Path: filepath.Join(dir, fmt.Sprintf("%s-%d", p.key.Public.ID, n))}
		if _, err := os.Stat(to.Path); err != nil {
			p.push(to, n)
		}
		return to
	}
	for i, c := range []struct {
		by    *publisher
		n     int64
		older bool
		want  string
	}{
		{by: a, n: 5},
		{by: a, n: 5},
		{by: a, n: 4, want: "release 4 of parts is older than 5, which was taken here"},
		{by: a, n: 4, older: true},
		{by: a, n: 4, want: "older than 5"}, // by hand is once
		{by: a, n: 5, want: ""},
		{by: a, n: 6},
		{by: b, n: 2}, // another key counts for itself
		{by: a, n: 6, want: "release 6 of parts was followed here by release 2 of another key"},
		{by: a, n: 7},
		{by: b, n: 2, want: "was followed here by release 7 of another key"},
	} {
		_, err := d.pull(place(c.by, c.n), Wanted{Older: c.older})
		says(t, fmt.Sprintf("step %d, release %d", i, c.n), err, c.want)
	}
	a.retrain("classifier.6")
	says(t, "another bundle under a number that was taken", func() error {
		to := Place{Path: filepath.Join(dir, "again")}
		a.push(to, 7)
		_, err := d.pull(to)
		return err
	}(), "release 7 of parts was taken here with another bundle")
	if err := os.WriteFile(d.gate.historyPath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := d.pull(place(a, 4))
	says(t, "a damaged history", err, "is damaged: remove it by hand")
}

// TestWanted: name and number are those that were asked for.
func TestWanted(t *testing.T) {
	p := newPublisher(t)
	place := Place{Path: filepath.Join(t.TempDir(), "stick")}
	p.push(place, 3)
	d := newDevice(t, p.key.Public)
	_, err := d.pull(place, Wanted{Name: "cars"})
	says(t, "another name", err, `the release is one of "parts", asked for was "cars"`)
	_, err = d.pull(Place{Path: place.Path, Release: 4})
	says(t, "a number that is not there", err, "it has no release 4")
	m, s := p.make(4)
	says(t, "the wrong repository", Push(t.Context(), m, s, Place{Registry: "localhost:1/cars", Plain: true}),
		"its repository must end in that name")
}

// TestClockAndAgent: an expired release is refused where the clock can be relied on, and noted where
// not; one for a newer agent is refused.
func TestClockAndAgent(t *testing.T) {
	p := newPublisher(t)
	d := newDevice(t, p.key.Public)
	_, s := p.make(1, func(o *SignOptions) { o.Valid, o.Agent = 30*time.Minute, "v1.4.0" })
	for _, c := range []struct {
		after  time.Duration
		synced bool
		agent  string
		want   string
		notes  int
	}{
		{after: 29 * time.Minute, synced: true, agent: "v1.4.0"},
		{after: 30 * time.Minute, synced: true, agent: "v1.4.0", want: "release 1 of parts expired at " +
			"2026-11-29T12:30:00Z"},
		{after: 30 * time.Minute, agent: "v1.4.0-3-gabc", notes: 1},
		{synced: true, agent: "1.10.0"},
		{synced: true, agent: "v1.3.9", want: "wants agent v1.4.0 or newer, this is v1.3.9"},
		{synced: true, agent: "dev", notes: 1},
	} {
		d.gate.Agent = c.agent
		d.gate.Now = func() (time.Time, bool) { return created.Add(c.after), c.synced }
		a, err := d.gate.Examine(s.Raw, s.Signature, Wanted{})
		says(t, fmt.Sprintf("%+v", c), err, c.want)
		if err == nil && len(a.Notes) != c.notes {
			t.Errorf("%+v: notes %q, want %d", c, a.Notes, c.notes)
		}
	}
}

// TestRotation: a key that a signed release brings is trusted once that release was installed, as
// long as its parent is.
func TestRotation(t *testing.T) {
	p := newPublisher(t)
	old, next := p.key, newTestKey(t)
	d := newDevice(t, old.Public)
	dir := t.TempDir()
	p.key = next
	_, byNext := p.make(9)
	_, err := d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "before", err, "key "+next.Public.ID+", which signed the release, is not trusted here")
	p.key = old
	brings := Place{Path: filepath.Join(dir, "brings")}
	p.push(brings, 1, func(o *SignOptions) { o.NewKey = &next.Public })
	r, err := Open(t.Context(), brings, d.gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	_, err = d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "looked at, not installed", err, "is not trusted here")
	if _, err := d.pull(brings); err != nil {
		t.Fatal(err)
	}
	a, err := d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "installed", err, "")
	if a.Signer.Source != "adopted from "+old.Public.ID {
		t.Errorf("the new key comes %s", a.Signer.Source)
	}
	file := filepath.Join(d.gate.Folder, old.Public.ID+".pub")
	if err := os.Rename(file, file+".off"); err != nil {
		t.Fatal(err)
	}
	d.trust(newTestKey(t).Public) // signatures stay required
	_, err = d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "the parent is gone", err, "is not trusted here")
	d.trust(next.Public)
	_, err = d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "installed by the owner", err, "")
}

// TestRevocation: the owner takes the trust back in a key, whichever way it came, or in a bundle.
// What is installed then cannot be activated either.
func TestRevocation(t *testing.T) {
	p := newPublisher(t)
	next := newTestKey(t)
	d := newDevice(t, p.key.Public, newTestKey(t).Public)
	place := Place{Path: filepath.Join(t.TempDir(), "stick")}
	s := p.push(place, 1, func(o *SignOptions) { o.NewKey = &next.Public })
	done, err := d.pull(place)
	if err != nil {
		t.Fatal(err)
	}
	p.key = next
	_, byNext := p.make(2)
	revoke := func(words string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d.gate.Folder, "revoked"), []byte(words), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for words, want := range map[string]string{
		"":                "",
		"# nothing yet\n": "",
		"sha256:" + s.Statement.Bundle + " # blurred\n": "bundle " + s.Statement.Bundle[:12],
		strings.ToLower(d.keyOf(s)) + "\n":              "is revoked: sign it with another",
		"seven":                                         "what is revoked cannot be read",
	} {
		revoke(words)
		_, err := d.gate.Installed(done.Dir)
		says(t, "installed, revoked "+words, err, want)
		_, err = d.pull(place)
		says(t, "pulled, revoked "+words, err, want)
	}
	revoke(p.fingerprintOf(s, d) + "\n")
	_, err = d.gate.Examine(byNext.Raw, byNext.Signature, Wanted{})
	says(t, "the child of a revoked key", err, "is not trusted here")
}

// keyOf is the ID of the key that a statement was signed with.
func (d *device) keyOf(s *Signed) string { return s.KeyID() }

// fingerprintOf is the fingerprint of the trusted key that signed s.
func (p *publisher) fingerprintOf(s *Signed, d *device) string {
	p.t.Helper()
	keys, _, err := readKeys(d.gate.Folder)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, k := range keys {
		if k.ID == s.KeyID() {
			return k.Fingerprint
		}
	}
	p.t.Fatal("the key is not there")
	return ""
}

// TestRequired: without a key everything is taken and it is said so; with one, even a damaged one,
// nothing unsigned.
func TestRequired(t *testing.T) {
	p := newPublisher(t)
	_, s := p.make(1)
	for _, c := range []struct {
		name, require string
		file, content string
		signed, bare  string // what is said of a signed and of an unsigned one
	}{
		{name: "no key", require: RequireAuto},
		{name: "no key, required", require: RequireTrue, signed: "no key is trusted here",
			bare: "only signed ones are taken here"},
		{name: "a key", require: RequireAuto, file: "a.pub", content: p.key.Public.text,
			bare: "only signed ones are taken here"},
		{name: "a key, not required", require: RequireFalse, file: "a.pub", content: p.key.Public.text},
		{name: "a damaged key", require: RequireAuto, file: "a.pub", content: "RW",
			signed: "is not trusted here", bare: "only signed ones are taken here"},
		{name: "no .pub file", require: RequireAuto, file: "README", content: "keys go here"},
	} {
		d := newDevice(t)
		d.gate.Require = c.require
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(d.gate.Folder, c.file), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := d.gate.Examine(s.Raw, s.Signature, Wanted{})
		says(t, c.name+", signed", err, c.signed)
		_, err = d.gate.Examine(nil, nil, Wanted{})
		says(t, c.name+", unsigned", err, c.bare)
		_, err = d.gate.Examine(s.Raw, nil, Wanted{})
		says(t, c.name+", no signature", err, strings.Replace(c.bare, "bundle is not signed", "no signature", 1))
	}
}

// TestOtherWays: a bundle from a folder or a packed file passes the same check, and only with the
// statement that is its own.
func TestOtherWays(t *testing.T) {
	p := newPublisher(t)
	_, s := p.make(2)
	if err := s.WriteTo(p.dir); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "parts.vggse")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Pack(t.Context(), p.dir, f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, p.key.Public)
	install := func(path string) error {
		source, err := bundle.OpenSource(path)
		if err != nil {
			return err
		}
		defer source.Close()
		approve, admitted := d.gate.Installing(t.Context(), Wanted{})
		if _, err := d.store.InstallFrom(t.Context(), source, approve); err != nil {
			return err
		}
		return admitted().Record(t.Context())
	}
	says(t, "folder", install(p.dir), "")
	says(t, "packed", install(packed), "")
	_, older := p.make(1)
	if err := older.WriteTo(p.dir); err != nil {
		t.Fatal(err)
	}
	says(t, "an older release", install(p.dir), "release 1 of parts is older than 2")
	p.retrain("classifier.6")
	if err := s.WriteTo(p.dir); err != nil {
		t.Fatal(err)
	}
	says(t, "another bundle's statement", install(p.dir), "they do not belong together")
	for _, name := range []string{bundle.StatementFile, bundle.SignatureFile} {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
		says(t, "without "+name, install(p.dir), "only signed ones are taken here")
	}
	if all, err := d.store.List(); err != nil || len(all) != 1 {
		t.Errorf("installed: %v, %v, want one", all, err)
	}
}

// soak makes the tests as long as 'make soak' wants them.
var soak = flag.Bool("soak", false, "the long form of the tests")

// encrypted is a secret key that minisign made, with the password "password".
const encrypted = "untrusted comment: minisign encrypted secret key\n" +
	"RWRTY0IyyuV5h5VlXpSpzLuYEPUUaFLWZz057+LlkVmQrCRKT4AAAAACAAAAAAAAAEAAAAAACU5wHnCHIDi/xr8Qcs4ALbvfjQG3SfpGZt" +
	"w3twkNX1cf49c+IVVFedzHik92L5h5HNDhFwaVFCFjPxOHxFRmmbox+1HpjrbFSwjwt8qX3lxBKCyTWviuetIoDSLErfLIT29RSGLU/64=\n"

// TestPasswords: an encrypted key says that it is. Opening it costs a gigabyte, so only the long
// form does, in both directions.
func TestPasswords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	if err := os.WriteFile(path+".key", []byte(encrypted), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenSecretKey(path+".key", "")
	says(t, "no password", err, "the secret key is encrypted: give its password")
	_, err = NewKey(path, "")
	says(t, "a file that is there", err, "k.key is there already: choose another --out")
	if !*soak {
		return
	}
	_, err = OpenSecretKey(path+".key", "another")
	says(t, "the wrong password", err, "the password is wrong")
	_, err = OpenSecretKey(path+".key", "password")
	says(t, "the password", err, "")
	_, err = NewKey(path+"2", "password")
	says(t, "a key of ours", err, "")
	cmd := exec.Command("minisign", "-S", "-s", path+"2.key", "-m", path+".key", "-x", path+".minisig")
	cmd.Stdin = strings.NewReader("password\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("minisign does not open it: %v: %s", err, out)
	}
}

// TestMinisign: the program minisign takes our keys and signatures, and we take its.
func TestMinisign(t *testing.T) {
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("no minisign here: 'make deps-test' installs it")
	}
	dir := t.TempDir()
	run := func(stdin string, args ...string) error {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("minisign %v: %w: %s", args, err, out)
		}
		return nil
	}
	path := filepath.Join(dir, "ours")
	if _, err := NewKey(path, ""); err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t)
	if p.key, err = OpenSecretKey(path+".key", ""); err != nil {
		t.Fatal(err)
	}
	_, s := p.make(1)
	if err := s.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	says(t, "minisign on ours", run("", "-V", "-p", "ours.pub", "-m", bundle.StatementFile), "")
	says(t, "minisign with our key", run("", "-S", "-s", "ours.key", "-m", bundle.StatementFile, "-x",
		"again.minisig"), "")
	again, err := os.ReadFile(filepath.Join(dir, "again.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, p.key.Public)
	_, err = d.gate.Examine(s.Raw, again, Wanted{})
	says(t, "its signature with our key", err, "")

	says(t, "its key", run("", "-G", "-W", "-p", "its.pub", "-s", "its.key"), "")
	says(t, "its signature", run("", "-S", "-s", "its.key", "-m", bundle.StatementFile, "-x", "its.minisig"), "")
	its, err := os.ReadFile(filepath.Join(dir, "its.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "its.pub"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	d.trust(k)
	_, err = d.gate.Examine(s.Raw, its, Wanted{})
	says(t, "minisign's key and signature", err, "")
	secret, err := OpenSecretKey(filepath.Join(dir, "its.key"), "")
	if err != nil || secret.Public.Fingerprint != k.Fingerprint {
		t.Errorf("its secret key: %v", err)
	}
}
