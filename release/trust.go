package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// Values of Gate.Require.
const (
	RequireAuto  = "auto"  // signatures are required once a key is in the trust folder
	RequireTrue  = "true"  // always
	RequireFalse = "false" // never; a signature that is there must still be right
)

// Trust is what a device knows about keys at one time.
type Trust struct {
	Keys     []Key   // that may sign
	Bad      []error // files of the trust folder that are no usable keys
	revoked  map[string]bool
	required bool
}

// Required reports whether only signed releases are taken.
func (t *Trust) Required() bool { return t.required }

// any reports whether a key was meant to be there.
func (t *Trust) any() bool { return len(t.Keys)+len(t.Bad) > 0 }

// Trust reads the trust folder and the keys that were adopted under it.
func (g *Gate) Trust() (*Trust, error) {
	h, err := g.remembered()
	if err != nil {
		return nil, err
	}
	return g.trust(h)
}

func (g *Gate) trust(h *history) (*Trust, error) {
	const cure = "give the agent's account the right to read it"
	t := &Trust{}
	var err error
	if t.Keys, t.Bad, err = readKeys(g.Folder); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("model.trust must be a folder with .pub files, %s is none", g.Folder)
		}
		return nil, fmt.Errorf("the trust folder cannot be read: %w: %s", err, cure)
	}
	t.Keys = append(t.Keys, g.Keys...)
	if t.revoked, err = readRevoked(g.Folder); err != nil {
		return nil, fmt.Errorf("what is revoked cannot be read: %w", err)
	}
	t.required = g.Require == RequireTrue || g.Require != RequireFalse && t.any()
	t.Keys = slices.DeleteFunc(t.Keys, t.isRevoked)
	t.adopt(h.Adopted)
	return t, nil
}

// isRevoked reports whether the owner took the trust in a key back. An ID is good enough: whoever
// could choose the same does not get into the trust folder.
func (t *Trust) isRevoked(k Key) bool {
	return t.revoked[k.Fingerprint] || t.revoked[strings.ToLower(k.ID)]
}

// adopt adds the keys whose parents are trusted, and theirs, in as many rounds as there are
// generations.
func (t *Trust) adopt(all []adopted) {
	for more := true; more; {
		more = false
		for _, a := range all {
			k, err := ParseKey([]byte(a.Key))
			if err != nil || t.isRevoked(k) || t.find(k.Fingerprint) != nil {
				continue
			}
			if parent := t.find(a.Parent); parent != nil {
				k.Source, more = "adopted from "+parent.ID, true
				t.Keys = append(t.Keys, k)
			}
		}
	}
}

// find is the trusted key with the given fingerprint, nil where there is none.
func (t *Trust) find(fingerprint string) *Key {
	for i := range t.Keys {
		if t.Keys[i].Fingerprint == fingerprint {
			return &t.Keys[i]
		}
	}
	return nil
}

// signer is the trusted key that made the signature over raw.
func (t *Trust) signer(raw, signature []byte) (*Key, error) {
	if len(signature) > signatureBytes {
		return nil, fmt.Errorf("the signature has %d bytes, at most %d are possible: sign the release again",
			len(signature), signatureBytes)
	}
	id, err := signatureID(signature)
	if err != nil {
		return nil, err
	}
	known := false
	for i := range t.Keys {
		if t.Keys[i].verifies(raw, signature) {
			return &t.Keys[i], nil
		}
		known = known || t.Keys[i].ID == id
	}
	switch {
	case known:
		return nil, errors.New("the statement or its signature was changed: they do not belong together, get the " +
			"release again")
	case t.revoked[strings.ToLower(id)]:
		return nil, errRevoked(id)
	}
	if _, local, _ := parseLocal(raw); local {
		return nil, errLocal
	}
	return nil, errForeign{id}
}

// errRevoked is that the owner took the trust in a key back.
func errRevoked(id string) error {
	return fmt.Errorf("key %s, which signed the release, is revoked: sign it with another", id)
}

// errForeign is that a key signed which is not trusted here.
type errForeign struct{ id string }

func (e errForeign) Error() string {
	return fmt.Sprintf("key %s, which signed the release, is not trusted here: the owner of the device puts its .pub "+
		"file into the trust folder", e.id)
}
