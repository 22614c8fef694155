package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"golang.org/x/mod/semver"

	"github.com/vggse/vggse-agent/bundle"
)

// Format names the layout of a statement that this version reads and writes.
const Format = "vggse.release/1"

// The most that the small parts of a release have, bytes.
const (
	statementBytes = 64 << 10
	signatureBytes = 4 << 10
	manifestBytes  = 4 << 20
	textBytes      = 1 << 20 // of model.yaml and the config object
)

// Statement says who releases which bundle as what. Its one form is that of Bytes; the signature is
// over those bytes.
type Statement struct {
	Format    string   `json:"format"`
	Name      string   `json:"name"`              // as in a registry: lower case, digits, . _ -
	Release   int64    `json:"release"`           // rises with every release of the name
	Created   string   `json:"created"`           // RFC 3339, UTC
	Expires   string   `json:"expires,omitempty"` // RFC 3339, UTC; empty: never
	Agent     string   `json:"agent,omitempty"`   // the least version of the agent, as v1.2.3
	Manifest  Blob     `json:"manifest"`          // of the OCI image
	Bytes     int64    `json:"bytes"`             // of all its layers, each counted once
	Bundle    string   `json:"bundle"`            // SHA-256 of model.yaml, 64 hexadecimal digits
	Files     []string `json:"files"`             // keys of the bundle's files that are in the image
	Classes   int      `json:"classes"`
	Input     int      `json:"input"` // side of the square input, pixels
	Gates     *Gates   `json:"gates,omitempty"`
	Trial     *Trial   `json:"trial,omitempty"`
	NewKey    string   `json:"new_key,omitempty"` // a minisign public key that may sign from now on
	canonical []byte
}

// Blob is a thing in a registry.
type Blob struct {
	Digest string `json:"digest"` // sha256:…
	Size   int64  `json:"size"`   // bytes
}

// Gates are what the publisher measured before the release, as shares of 1.
type Gates struct {
	Agreement float64 `json:"agreement,omitempty"` // with the network it was made from
	Top1      float64 `json:"top1,omitempty"`      // on labelled pictures
}

// Trial is what the publisher asks a device to hold a new model to.
type Trial struct {
	Frames    int     `json:"frames,omitempty"`    // decisions before it counts as good
	Minutes   int     `json:"minutes,omitempty"`   // and so long
	Agreement float64 `json:"agreement,omitempty"` // least share of labels like those of the model before
	Unknown   float64 `json:"unknown,omitempty"`   // largest share of unknown
	Latency   float64 `json:"latency,omitempty"`   // largest ratio of the latencies
}

// validate returns the first bound that cannot be. A bound of 0 is none.
func (t *Trial) validate() error {
	const cure = "sign the release again"
	switch {
	case t == nil:
	case t.Frames < 0 || t.Frames > 10_000_000:
		return fmt.Errorf("the statement: trial.frames must be between 0 and 10,000,000, got %d: %s", t.Frames, cure)
	case t.Minutes < 0 || t.Minutes > 7*24*60:
		return fmt.Errorf("the statement: trial.minutes must be between 0 and 10,080 (a week), got %d: %s", t.Minutes,
			cure)
	case !(t.Agreement >= 0 && t.Agreement <= 1):
		return fmt.Errorf("the statement: trial.agreement must be between 0 and 1, got %g: %s", t.Agreement, cure)
	case !(t.Unknown >= 0 && t.Unknown <= 1):
		return fmt.Errorf("the statement: trial.unknown must be between 0 and 1, got %g: %s", t.Unknown, cure)
	case t.Latency != 0 && !(t.Latency >= 1 && t.Latency <= 1000):
		return fmt.Errorf("the statement: trial.latency must be 0, or between 1 and 1,000, got %g: %s", t.Latency, cure)
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)

// CheckName refuses what cannot be the name of a release: it is the last part of a repository's.
func CheckName(name string) error {
	if len(name) > 128 || !nameForm.MatchString(name) {
		return fmt.Errorf("%.40q cannot name a release: use lower-case letters and digits, with . _ or - between them",
			name)
	}
	return nil
}

// encode is the one form of a statement.
func (s *Statement) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return b.Bytes(), err
}

// parseStatement reads the one form of a statement: no other field, order, space or spelling.
func parseStatement(raw []byte) (*Statement, error) {
	if _, local, _ := parseLocal(raw); local {
		return nil, errLocal
	}
	s := &Statement{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("the statement cannot be read (%w): a newer vggse-agent may have made it, or it is "+
			"damaged",
			err)
	}
	if s.Format != Format {
		return nil, fmt.Errorf("the statement has format %.40q, this agent reads %s: update the agent", s.Format,
			Format)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the statement goes on behind its end: sign the release again")
	}
	text, err := s.encode()
	if err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	if !bytes.Equal(text, raw) {
		return nil, errors.New("the statement is not in its one form (order, spaces, spelling): sign with " +
			"'vggse-agent release sign'")
	}
	s.canonical = slices.Clone(raw)
	return s, s.validate()
}

// validate returns the first field that cannot be.
func (s *Statement) validate() error {
	if err := CheckName(s.Name); err != nil {
		return fmt.Errorf("the statement: name: %w", err)
	}
	for _, c := range []struct {
		bad   bool
		field string
	}{
		{s.Release < 1 || s.Release > 1<<53, "release"},
		{!isTime(s.Created), "created"},
		{s.Expires != "" && !isTime(s.Expires), "expires"},
		{s.Agent != "" && !semver.IsValid(s.Agent), "agent"},
		{!isSHA256(s.Manifest.Digest), "manifest.digest"},
		{s.Manifest.Size < 1 || s.Manifest.Size > manifestBytes, "manifest.size"},
		{s.Bytes < 1, "bytes"},
		{!bundle.IsDigest(s.Bundle), "bundle"},
		{len(s.Files) == 0 || !slices.IsSorted(s.Files) || len(slices.Compact(slices.Clone(s.Files))) != len(s.Files),
			"files"},
		{s.Classes < 1, "classes"},
		{s.Input < 1, "input"},
	} {
		if c.bad {
			return fmt.Errorf("the statement: %s cannot be what it says: sign the release again", c.field)
		}
	}
	if err := s.Trial.validate(); err != nil {
		return err
	}
	if s.NewKey != "" {
		if _, err := ParseKey([]byte(s.NewKey)); err != nil {
			return fmt.Errorf("the statement: new_key: %w", err)
		}
	}
	return nil
}

// isTime reports whether s is a time in its one form, in UTC and whole seconds.
func isTime(s string) bool {
	t, err := time.Parse(time.RFC3339, s)
	return err == nil && t.UTC().Format(time.RFC3339) == s
}

func isSHA256(s string) bool { return len(s) == 71 && s[:7] == "sha256:" && bundle.IsDigest(s[7:]) }

// expired reports whether the statement's time is over at now.
func (s *Statement) expired(now time.Time) bool {
	if s.Expires == "" {
		return false
	}
	t, err := time.Parse(time.RFC3339, s.Expires)
	return err != nil || !now.Before(t)
}
