package release

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// Gate decides what may be installed on a device, and what of it may run.
type Gate struct {
	Folder   string // of the trusted keys
	Require  string // RequireAuto, RequireTrue or RequireFalse
	Keys     []Key  // trusted beside those
	StateDir string // of the agent: what was taken so far; empty: nothing
	Agent    string // version of this program; one that is no vX.Y.Z is not compared
	// which bundles that were made on this device are taken; empty: LocalTeach
	AllowLocal string
	// Now is the time, and whether it can be relied on; nil: the system's, and what the kernel says.
	Now func() (time.Time, bool)
}

// Admission is a release that passed, but for its content.
type Admission struct {
	Statement *Statement // nil: there is none
	Local     *Local     // it was made on this device, which signed it; nil: it was not
	Signer    *Key       // nil: nobody who is known here signed it
	Notes     []string   // what could not be checked, for people
	raw, sig  []byte
	gate      *Gate
	older     bool
}

// Wanted is what the user asked for.
type Wanted struct {
	Name    string // of the release; empty: any
	Release int64  // 0: any
	Older   bool   // by hand at the device: lower than what was seen
}

// Examine holds a statement and its signature against the trusted keys, the wish, what was seen
// before and the clock, in this order. Nil for both is a release without a statement.
func (g *Gate) Examine(raw, signature []byte, want Wanted) (*Admission, error) {
	h, err := g.remembered()
	if err != nil {
		return nil, err
	}
	t, err := g.trust(h)
	if err != nil {
		return nil, err
	}
	a, err := g.signed(t, raw, signature)
	if err != nil || a.Statement == nil {
		return a, err
	}
	a.older = want.Older
	if err := a.asked(want); err != nil {
		return nil, err
	}
	if a.Signer != nil && !want.Older {
		if err := h.isNew(a.Statement, a.Signer); err != nil {
			return nil, err
		}
	}
	if t.revoked[a.Statement.Bundle] {
		return nil, fmt.Errorf("bundle %.12s of %s release %d is revoked: pull another release", a.Statement.Bundle,
			a.Statement.Name, a.Statement.Release)
	}
	return a, g.inForce(a)
}

// signed is the beginning of every check: sizes, the signature over the raw bytes, and only then
// their meaning.
func (g *Gate) signed(t *Trust, raw, signature []byte) (*Admission, error) {
	a := &Admission{raw: raw, sig: signature, gate: g}
	if len(raw) > statementBytes {
		return nil, fmt.Errorf("the statement has %d bytes, at most %d are possible: sign the release again", len(raw),
			statementBytes)
	}
	if raw == nil || signature == nil {
		if t.required {
			return nil, t.unsigned(raw)
		}
		if raw == nil {
			a.Notes = append(a.Notes, "not signed")
			return a, nil
		}
	}
	var err error
	if t.any() && signature != nil {
		if a.Signer, err = t.signer(raw, signature); err != nil {
			return nil, err
		}
	} else {
		if id, _ := signatureID(signature); t.revoked[strings.ToLower(id)] { // of no signature there is no id
			return nil, errRevoked(id)
		}
		if t.required {
			return nil, errors.New("the signature cannot be checked, for no key is trusted here: put the publisher's " +
				".pub file into " + g.Folder)
		}
		a.Notes = append(a.Notes, "no signature was checked: none is required (model.trust)")
	}
	a.Statement, err = parseStatement(raw)
	return a, err
}

// unsigned says what is missing.
func (t *Trust) unsigned(raw []byte) error {
	what := "the bundle is not signed"
	if raw != nil {
		what = "the statement has no signature"
	}
	return errors.New(what + ", and only signed ones are taken here: sign it with 'vggse-agent release sign'")
}

// errAsked is that a statement is about another release than the one that was asked for.
type errAsked struct{ error }

// asked compares the statement with the wish.
func (a *Admission) asked(want Wanted) error {
	s := a.Statement
	if want.Name != "" && want.Name != s.Name {
		return errAsked{fmt.Errorf("the release is one of %q, asked for was %q: it lies in the wrong place", s.Name,
			want.Name)}
	}
	if want.Release != 0 && want.Release != s.Release {
		return errAsked{fmt.Errorf("this is release %d of %s, asked for was %d: it lies under the wrong number",
			s.Release, s.Name, want.Release)}
	}
	return nil
}

// isNew refuses what is older than the device has seen, and what it has seen before something else.
func (h *history) isNew(s *Statement, signer *Key) error {
	top, ok := h.highest(s.Name, signer.Fingerprint)
	const byHand = "only by hand at the device, with --older"
	switch {
	case !ok || s.Release > top.Release:
		return nil
	case s.Release < top.Release:
		return fmt.Errorf("release %d of %s is older than %d, which was taken here: %s", s.Release, s.Name, top.Release,
			byHand)
	case s.Bundle != top.Bundle:
		return fmt.Errorf("release %d of %s was taken here with another bundle (%.12s): publish the new one under a "+
			"higher number", s.Release, s.Name, top.Bundle)
	}
	if last := h.Last[s.Name]; last.Key != signer.Fingerprint {
		return fmt.Errorf("release %d of %s was followed here by release %d of another key: %s", s.Release, s.Name,
			last.Release, byHand)
	}
	return nil
}

// inForce compares the statement with the clock, where it can be relied on, and with this program.
func (g *Gate) inForce(a *Admission) error {
	s := a.Statement
	now, synced := g.now()
	switch {
	case !s.expired(now):
	case synced:
		return fmt.Errorf("release %d of %s expired at %s: sign it anew", s.Release, s.Name, s.Expires)
	default:
		a.Notes = append(a.Notes, "it may have expired at "+s.Expires+": this clock is not synchronized")
	}
	agent, _, _ := strings.Cut(g.Agent, "-")
	if !strings.HasPrefix(agent, "v") {
		agent = "v" + agent
	}
	switch {
	case s.Agent == "":
	case !semver.IsValid(agent):
		a.Notes = append(a.Notes, "it asks for agent "+s.Agent+": this one has no version to compare")
	case semver.Compare(agent, s.Agent) < 0:
		return fmt.Errorf("release %d of %s wants agent %s or newer, this is %s: update the agent first", s.Release,
			s.Name, s.Agent, g.Agent)
	}
	return nil
}

func (g *Gate) now() (time.Time, bool) {
	if g.Now != nil {
		return g.Now()
	}
	var state unix.Timex
	code, err := unix.Adjtimex(&state)
	return time.Now(), err == nil && code != unix.TIME_ERROR
}

// signatureID is the ID of the key that a signature names.
func signatureID(signature []byte) (string, error) {
	lines := strings.Split(string(signature), "\n")
	if len(lines) > 1 {
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[1])); err == nil && len(raw) == 74 {
			return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(raw[2:])), nil
		}
	}
	return "", errors.New("the signature is none of minisign's: get the release again")
}

// Approve says whether the complete bundle in the folder dir is the one that was admitted. It fits
// store.InstallFrom.
func (a *Admission) Approve(dir string) error {
	if a.Local != nil {
		sum, err := bundle.Digest(dir)
		if err == nil && sum != a.Local.Bundle {
			err = fmt.Errorf("what this device said is about bundle %.12s, this is %.12s: install it again",
				a.Local.Bundle, sum)
		}
		return err
	}
	if a.Statement == nil {
		return nil
	}
	sum, err := bundle.Digest(dir)
	if err != nil {
		return err
	}
	if sum != a.Statement.Bundle {
		return fmt.Errorf("the statement is for bundle %.12s, this is %.12s: they do not belong together",
			a.Statement.Bundle,
			sum)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	for _, key := range b.Absent {
		if slices.Contains(a.Statement.Files, key) && isGolden(key) {
			return fmt.Errorf("the %s file was released and is missing: without it nobody can verify the bundle, get "+
				"it again",
				key)
		}
	}
	return nil
}

func isGolden(key string) bool { return key == bundle.FileGolden || key == bundle.FileGoldens8 }

// Record writes down that the release was installed: what is older is refused from now on, and a key
// that it brings is trusted. Of a release that nobody known signed nothing is written.
func (a *Admission) Record(ctx context.Context) error {
	if a.Signer == nil || a.Statement == nil {
		return nil
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(a.gate.StateDir, ".releases.lock"), 0o600)
	if err != nil {
		return fmt.Errorf("release: record: %w", err)
	}
	defer unlock()
	h, err := a.gate.readHistory()
	if err == nil && !a.older {
		err = h.isNew(a.Statement, a.Signer) // another process may have been faster
	}
	if err != nil {
		return fmt.Errorf("release: record: %w", err)
	}
	s := a.Statement
	h.take(seen{s.Name, a.Signer.Fingerprint, s.Release, s.Bundle}, s.NewKey)
	return a.gate.writeHistory(h)
}

// Installing is the check of a bundle that comes by another way than Pull, by somebody who may act
// on this device: one that was made here from a signed bundle is signed with the device's key. It
// returns the function for store.InstallFrom, and the admission that this leaves for Record.
func (g *Gate) Installing(ctx context.Context, want Wanted) (approve func(dir string) error,
	admitted func() *Admission) {
	var a *Admission
	approve = func(dir string) (err error) {
		a, err = g.installing(ctx, dir, want)
		return err
	}
	return approve, func() *Admission { return a }
}

func (g *Gate) installing(ctx context.Context, dir string, want Wanted) (*Admission, error) {
	raw, signature, err := bundle.ReadStatement(dir)
	if err != nil {
		return nil, err
	}
	if _, local, _ := parseLocal(raw); local {
		return g.Installed(dir)
	}
	t, err := g.Trust()
	if err != nil {
		return nil, err
	}
	if raw == nil && t.required {
		if err := g.signLocal(ctx, t, dir); err != nil {
			return nil, err
		}
		return g.Installed(dir)
	}
	a, err := g.Examine(raw, signature, want)
	if err != nil {
		return nil, err
	}
	return a, a.Approve(dir)
}

// Installed says who released the bundle in a folder of the store, and whether it may run: signed by
// a key that is trusted now where signatures are required, and not revoked. Neither an older release
// nor one that has expired since is refused: it was taken here before. One that was made on this
// device needs its parent to be trusted, and model.allow_local to take it.
func (g *Gate) Installed(dir string) (*Admission, error) {
	raw, signature, err := bundle.ReadStatement(dir)
	if err != nil {
		return nil, err
	}
	t, err := g.Trust()
	if err != nil {
		return nil, err
	}
	a, err := g.ofInstalled(t, dir, raw, signature)
	if err != nil {
		return nil, err
	}
	sum, err := bundle.Digest(dir)
	if err != nil {
		return nil, err
	}
	if t.revoked[sum] {
		return nil, fmt.Errorf("bundle %.12s is revoked: activate another", sum)
	}
	return a, a.Approve(dir)
}

// ofInstalled looks at the signature of an installed bundle, whoever made it.
func (g *Gate) ofInstalled(t *Trust, dir string, raw, signature []byte) (*Admission, error) {
	l, local, err := parseLocal(raw)
	if err != nil {
		return nil, err
	}
	if !local {
		a, err := g.signed(t, raw, signature)
		if err != nil && raw == nil {
			err = fmt.Errorf("%w; where it was made on this device from a signed one, install it once more, which "+
				"signs it: 'vggse-agent model install %s'", err, dir)
		}
		return a, err
	}
	parent, parentSignature, err := bundle.ReadParent(dir)
	if err != nil {
		return nil, err
	}
	return g.local(t, l, raw, signature, parent, parentSignature)
}

// SignedBy is the ID of the key that signed; empty where nobody known here did.
func (a *Admission) SignedBy() string {
	if a == nil || a.Signer == nil {
		return ""
	}
	return a.Signer.ID
}

// VerifyBundle checks the statement of the bundle in the folder dir and all of its files.
func (g *Gate) VerifyBundle(ctx context.Context, dir string) (*Admission, error) {
	raw, signature, err := bundle.ReadStatement(dir)
	if err != nil {
		return nil, err
	}
	var a *Admission
	if _, local, _ := parseLocal(raw); local {
		a, err = g.Installed(dir)
	} else if a, err = g.Examine(raw, signature, Wanted{Older: true}); err == nil {
		err = a.Approve(dir)
	}
	if err == nil {
		err = bundle.CheckAll(ctx, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("release: %s: %w", dir, err)
	}
	return a, nil
}
