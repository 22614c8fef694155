package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"aead.dev/minisign"

	"github.com/vggse/vggse-agent/bundle"
)

// LocalFormat names the layout of what a device says of a bundle that was made on it.
const LocalFormat = "vggse.local/1"

// Values of Gate.AllowLocal: which bundles that were made on this device run where signatures are
// required. Each needs a parent that a trusted key signed.
const (
	LocalNone  = "none"
	LocalTeach = "teach" // only the last layer differs from the parent's
	LocalAll   = "all"   // calibrated and pruned ones, too
)

// Local says which signed bundle another one was made from on this device. Its one form is compact
// JSON; the device's key signs it.
type Local struct {
	Format  string `json:"format"`
	Kind    string `json:"kind"`    // LocalTeach or LocalAll: what was proven when it was installed
	Created string `json:"created"` // RFC 3339, UTC
	Bundle  string `json:"bundle"`  // SHA-256 of model.yaml
	Parent  Parent `json:"parent"`
}

// Parent is the release that a local bundle was made from.
type Parent struct {
	Name    string `json:"name"`
	Release int64  `json:"release"`
	Bundle  string `json:"bundle"` // SHA-256 of its model.yaml
	Key     string `json:"key"`    // fingerprint of the key that signed it
}

// errLocal is what a local statement is where one of a release is wanted.
var errLocal = errors.New("the bundle was made on a device, which signed it for itself: sign it with 'vggse-agent " +
	"release sign'")

// parseLocal reads the one form. ok is false where raw is another kind of statement.
func parseLocal(raw []byte) (l *Local, ok bool, err error) {
	var kind struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(raw, &kind) != nil || kind.Format != LocalFormat {
		return nil, false, nil
	}
	l = &Local{}
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, true, fmt.Errorf("what this device said of the bundle is damaged (%w): install it again", err)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, true, err
	}
	if !bytes.Equal(append(text, '\n'), raw) || l.Kind != LocalTeach && l.Kind != LocalAll {
		return nil, true, errors.New("what this device said of the bundle is not in its one form: install it again")
	}
	return l, true, nil
}

// LocalOf is what the statement in the folder of an installed bundle says where it was made on this
// device, else nil. No signature is looked at.
func LocalOf(dir string) *Local {
	raw, _, err := bundle.ReadStatement(dir)
	if err != nil {
		return nil
	}
	l, _, err := parseLocal(raw)
	if err != nil {
		return nil
	}
	return l
}

// String is the parent as people name it.
func (p Parent) String() string { return fmt.Sprintf("%s release %d", p.Name, p.Release) }

// local checks a bundle that was made on this device: the device's signature, what is allowed, and
// its parent, which must still be trusted.
func (g *Gate) local(t *Trust, l *Local, raw, signature, parentRaw, parentSignature []byte) (*Admission, error) {
	a := &Admission{raw: raw, sig: signature, gate: g, Local: l}
	if !t.required {
		a.Notes = append(a.Notes, "no signature was checked: none is required (model.trust)")
		return a, nil
	}
	k, err := g.devicePublic()
	if err != nil {
		return nil, err
	}
	if k == nil || !k.verifies(raw, signature) {
		return nil, errors.New("the bundle was made on another device, or this one has another key since, and is " +
			"accepted only there: sign it with 'vggse-agent release sign'")
	}
	if err := g.allows(l.Kind); err != nil {
		return nil, err
	}
	if parentRaw == nil || parentSignature == nil {
		return nil, errors.New("the statement of the signed bundle that it was made from is missing: install it again")
	}
	parent, err := g.parentOf(t, parentRaw, parentSignature)
	if err != nil {
		return nil, fmt.Errorf("the bundle was made here from another one, and of that: %w", err)
	}
	if parent.Bundle != l.Parent.Bundle {
		return nil, errors.New("the bundle was made from another one than the signed statement beside it is about: " +
			"install it again")
	}
	a.Signer = k
	return a, nil
}

// parentOf reads the statement of a parent, which a trusted key must have signed.
func (g *Gate) parentOf(t *Trust, raw, signature []byte) (*Statement, error) {
	if _, err := t.signer(raw, signature); err != nil {
		return nil, err
	}
	s, err := parseStatement(raw)
	if err != nil {
		return nil, err
	}
	if t.revoked[s.Bundle] {
		return nil, fmt.Errorf("bundle %.12s of %s release %d is revoked: make it anew from another release", s.Bundle,
			s.Name, s.Release)
	}
	return s, nil
}

// allows refuses a kind of local bundle that the settings do not take.
func (g *Gate) allows(kind string) error {
	switch {
	case g.AllowLocal == LocalNone:
		return errors.New("the bundle was made on this device, which takes none of those (model.allow_local: none): " +
			"sign it with 'vggse-agent release sign'")
	case kind == LocalAll && g.AllowLocal != LocalAll:
		return errors.New("the bundle was made on this device and differs in more than its last layer from the " +
			"signed one (model.allow_local: teach): sign it with 'vggse-agent release sign', or set " +
			"model.allow_local: all")
	}
	return nil
}

// signLocal makes the device vouch for the unsigned bundle in the folder dir of the store: its
// parent is looked for among the signed bundles that are installed, and proven by its content.
func (g *Gate) signLocal(ctx context.Context, t *Trust, dir string) error {
	if g.AllowLocal == LocalNone {
		return fmt.Errorf("%w, for bundles that were made on this device are not taken (model.allow_local: none)",
			t.unsigned(nil))
	}
	p, kind, err := g.findParent(ctx, t, dir)
	if err != nil {
		return err
	}
	sum, err := bundle.Digest(dir)
	if err != nil {
		return err
	}
	if t.revoked[sum] {
		return fmt.Errorf("bundle %.12s is revoked: install another", sum)
	}
	key, err := g.deviceKey(ctx)
	if err != nil {
		return err
	}
	now, _ := g.now()
	l := Local{LocalFormat, kind, now.UTC().Format(time.RFC3339), sum,
		Parent{p.statement.Name, p.statement.Release, p.statement.Bundle, p.signer.Fingerprint}}
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	signature := minisign.SignWithComments(key.secret, raw, "made on this device from "+p.statement.Name,
		"signature of a vggse-agent device")
	return bundle.WriteLocal(dir, raw, append(bytes.TrimRight(signature, "\n"), '\n'), p.raw, p.signature)
}
