package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// SignOptions are what a publisher says of a release.
type SignOptions struct {
	Name    string        // empty: the bundle's
	Release int64         // must rise
	Created time.Time     // zero: now
	Valid   time.Duration // from Created on; 0: for ever
	Agent   string        // least version of the agent, v1.2.3; empty: any
	Gates   Gates
	Trial   Trial
	NewKey  *Key // that may sign from now on; nil: none
}

// Signed is a statement with its signature.
type Signed struct {
	Statement *Statement
	Raw       []byte // what is signed
	Signature []byte // as minisign writes it
}

// Sign makes and signs the statement of an image.
func Sign(m *Image, o SignOptions, key *SecretKey) (*Signed, error) {
	if o.Created.IsZero() {
		o.Created = time.Now()
	}
	spec, d := &m.Bundle.Spec, m.Descriptor()
	s := &Statement{Format: Format, Name: o.Name, Release: o.Release, Created: o.Created.UTC().Format(time.RFC3339),
		Agent: o.Agent, Manifest: Blob{d.Digest.String(), d.Size}, Bytes: m.bytes(), Bundle: hexSum(m.Text),
		Files: slices.Sorted(slices.Values(m.Keys)), Classes: len(spec.Labels), Input: spec.Architecture.InputSize}
	if s.Name == "" {
		s.Name = spec.Name
	}
	if err := CheckName(s.Name); err != nil {
		return nil, fmt.Errorf("release: sign: %w: choose one with --name", err)
	}
	if o.Valid != 0 {
		s.Expires = o.Created.Add(o.Valid).UTC().Format(time.RFC3339)
	}
	if o.Gates != (Gates{}) {
		s.Gates = &o.Gates
	}
	if o.Trial != (Trial{}) {
		s.Trial = &o.Trial
	}
	if o.NewKey != nil {
		s.NewKey = o.NewKey.text
	}
	raw, err := s.encode()
	if err == nil {
		s, err = parseStatement(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("release: sign: %w", err)
	}
	return &Signed{s, raw, key.sign(s, raw)}, nil
}

// WriteTo puts the statement and its signature into the folder of a bundle or layout.
func (s *Signed) WriteTo(dir string) error {
	for name, text := range map[string][]byte{bundle.SignatureFile: s.Signature, bundle.StatementFile: s.Raw} {
		err := atomicfile.WriteFile(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
		if err != nil {
			return fmt.Errorf("release: sign: %w", err)
		}
	}
	return nil
}

// ReadSigned is the statement in the folder of a bundle, whose signature is not looked at.
func ReadSigned(dir string) (*Signed, error) {
	raw, signature, err := bundle.ReadStatement(dir)
	switch {
	case err != nil:
	case raw == nil || signature == nil:
		err = errors.New("is not signed: 'vggse-agent release sign' does that")
	default:
		s, err := parseStatement(raw)
		return &Signed{s, raw, signature}, err
	}
	return nil, fmt.Errorf("release: %s %w", dir, err)
}

// attach adds the statement to the image, as a referrer of its manifest.
func (s *Signed) attach(m *Image) (ocispec.Descriptor, error) {
	if got := m.Descriptor().Digest.String(); got != s.Statement.Manifest.Digest {
		return ocispec.Descriptor{}, fmt.Errorf("the statement names the image %.19s…, this bundle makes %.19s…: sign "+
			"it again, with the same --with-pictures and --plain", s.Statement.Manifest.Digest, got)
	}
	subject := m.Descriptor()
	layers := []ocispec.Descriptor{
		m.layer(typeStatement, bundle.StatementFile, s.Raw), m.layer(typeSignature, bundle.SignatureFile, s.Signature),
	}
	for i, content := range [][]byte{s.Raw, s.Signature} {
		layers[i].Annotations = map[string]string{ocispec.AnnotationTitle: layers[i].Annotations[annotationPath]}
		m.blobs[layers[i].Digest] = inMemory(content)
	}
	m.blobs[ocispec.DescriptorEmptyJSON.Digest] = inMemory(ocispec.DescriptorEmptyJSON.Data)
	empty := ocispec.DescriptorEmptyJSON
	empty.Data, empty.MediaType = nil, typeStatement // registries of before OCI 1.1 take the type from the config
	text, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: typeStatement, Config: empty, Layers: layers,
		Subject: &subject})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: typeStatement,
		Digest: digest.FromBytes(text), Size: int64(len(text))}
	m.blobs[d.Digest] = inMemory(text)
	return d, nil
}

// KeyID is the ID of the key that the signature names, which need not be the one that made it.
func (s *Signed) KeyID() string {
	id, err := signatureID(s.Signature)
	if err != nil {
		return ""
	}
	return id
}
