package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// Media types, those of github.com/modelpack/model-spec v0.0.7 where there is one.
const (
	typeModel      = "application/vnd.cncf.model.manifest.v1+json"
	typeConfig     = "application/vnd.cncf.model.config.v1+json"
	typeWeight     = "application/vnd.cncf.model.weight.v1.raw"
	typeSpec       = "application/vnd.cncf.model.weight.config.v1.raw"
	typeDoc        = "application/vnd.cncf.model.doc.v1.raw"
	typeStatement  = "application/vnd.vggse.statement.v1+json"
	typeSignature  = "application/vnd.vggse.statement.signature.v1"
	annotationPath = "org.cncf.model.filepath"
)

// Annotations of a layer that say what it is a part of.
const (
	annotationOrder  = "vggse.order"  // of the part in its file, from 0
	annotationOffset = "vggse.offset" // of a piece in its file, bytes; the skeleton fills the rest
	annotationSum    = "vggse.sha256" // of the whole file, at its first part
	annotationSize   = "vggse.size"   // of the whole file, bytes, at its first part
)

// modelConfig is the config object of model-spec.
type modelConfig struct {
	Descriptor modelDescriptor `json:"descriptor"`
	ModelFS    modelFS         `json:"modelfs"`
	Config     modelFacts      `json:"config"`
}

type modelDescriptor struct {
	CreatedAt *time.Time `json:"createdAt,omitempty"`
	Name      string     `json:"name,omitempty"`
	Version   string     `json:"version,omitempty"`
}

type modelFacts struct {
	Architecture string `json:"architecture,omitempty"`
	Format       string `json:"format,omitempty"`
	Precision    string `json:"precision,omitempty"`
}

type modelFS struct {
	Type    string          `json:"type"`
	DiffIDs []digest.Digest `json:"diffIds"`
}

// Image is a release that can be pushed: everything but what is signed. It implements
// content.ReadOnlyStorage of oras.
type Image struct {
	Bundle   *bundle.Bundle
	Text     []byte // of model.yaml
	Left     []string
	Keys     []string // of the files that are in it
	manifest []byte
	blobs    map[digest.Digest]blob
	layers   []ocispec.Descriptor
}

// blob is content that can be opened as often as needed.
type blob struct {
	size int64
	open func() (io.ReadCloser, error)
}

func inMemory(b []byte) blob {
	return blob{int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// NewImage cuts the bundle in the folder dir, without the files whose keys are in without. The same
// bundle makes the same bytes. Every file is compared with its digest.
func NewImage(ctx context.Context, dir string, without []string) (*Image, error) {
	m, err := openImage(dir, without)
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	if err := m.cutAll(ctx); err != nil {
		return nil, fmt.Errorf("release: %s: %w", dir, err)
	}
	return m, nil
}

// openImage reads the bundle of an image.
func openImage(dir string, without []string) (*Image, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	text, err := bundle.ReadSpec(dir)
	if err != nil {
		return nil, err
	}
	m := &Image{Bundle: b, Text: text, blobs: make(map[digest.Digest]blob)}
	for _, key := range slices.Sorted(maps.Keys(b.Spec.Files)) {
		if slices.Contains(without, key) {
			delete(b.Spec.Files, key)
			m.Left = append(m.Left, key)
			continue
		}
		m.Keys = append(m.Keys, key)
	}
	m.Left = append(m.Left, b.Absent...)
	slices.Sort(m.Left)
	if len(m.Keys) == 0 {
		return nil, fmt.Errorf("%s: nothing is left to release", dir)
	}
	return m, nil
}

// cutAll makes the layers of the pieces form and its manifest.
func (m *Image) cutAll(ctx context.Context) error {
	m.add(m.layer(typeSpec, bundle.SpecFile, m.Text), inMemory(m.Text))
	spans := spansOf(m.Bundle)
	goldens := map[string]bool{}
	for _, key := range m.Keys {
		if isGolden(key) {
			goldens[filepath.Clean(m.Bundle.Spec.Files[key].Path)] = true
		}
	}
	for _, key := range m.Keys {
		if err := m.Bundle.CheckFile(ctx, key); err != nil {
			return err
		}
	}
	for _, f := range m.Bundle.Members() {
		kind := typeWeight
		if goldens[f.Path] {
			kind = typeDoc
		}
		c, err := cutFile(ctx, m.Bundle, f, spans[f.Path], nil, nil)
		if err != nil {
			return err
		}
		for i, p := range c.parts {
			m.add(partLayer(c, kind, i), blob{p.size, func() (io.ReadCloser, error) { return c.open(p) }})
		}
	}
	config, err := m.config()
	if err != nil {
		return err
	}
	return m.seal(typeModel, typeConfig, config)
}

// layer describes content as a layer.
func (m *Image) layer(kind, path string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(content), Size: int64(len(content)),
		Annotations: map[string]string{annotationPath: filepath.ToSlash(path)}}
}

// partLayer describes part i of a file as a layer.
func partLayer(c *cut, kind string, i int) ocispec.Descriptor {
	p := c.parts[i]
	notes := map[string]string{annotationPath: filepath.ToSlash(c.file.Path), annotationOrder: strconv.Itoa(i)}
	if p.offset >= 0 {
		notes[annotationOffset] = strconv.FormatInt(p.offset, 10)
	}
	if i == 0 {
		notes[annotationSum], notes[annotationSize] = c.file.SHA256, strconv.FormatInt(c.file.Bytes, 10)
	}
	return ocispec.Descriptor{MediaType: kind, Digest: digest.Digest(p.digest), Size: p.size, Annotations: notes}
}

func (m *Image) add(d ocispec.Descriptor, b blob) {
	m.layers = append(m.layers, d)
	m.blobs[d.Digest] = b
}

// config is the config object of the image.
func (m *Image) config() ([]byte, error) {
	spec := &m.Bundle.Spec
	c := modelConfig{Descriptor: modelDescriptor{Name: spec.Name, Version: spec.Version},
		Config:  modelFacts{Architecture: spec.Architecture.Family, Format: "onnx"},
		ModelFS: modelFS{Type: "layers"}}
	if !spec.Provenance.Created.IsZero() {
		created := spec.Provenance.Created.UTC()
		c.Descriptor.CreatedAt = &created
	}
	for _, d := range m.layers {
		c.ModelFS.DiffIDs = append(c.ModelFS.DiffIDs, d.Digest)
	}
	return json.Marshal(c)
}

// seal makes the manifest of the layers.
func (m *Image) seal(artifact, configType string, config []byte) error {
	d := ocispec.Descriptor{MediaType: configType, Digest: digest.FromBytes(config), Size: int64(len(config))}
	m.blobs[d.Digest] = inMemory(config)
	text, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifact, Config: d, Layers: m.layers})
	if err != nil {
		return err
	}
	if len(text) > manifestBytes {
		return fmt.Errorf("the image's manifest has %d bytes, registries take %d: the bundle has too many constants",
			len(text), manifestBytes)
	}
	m.manifest = text
	m.blobs[m.Descriptor().Digest] = inMemory(text)
	return nil
}

// Descriptor is that of the image's manifest.
func (m *Image) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(m.manifest),
		Size: int64(len(m.manifest))}
}

// bytes is the size of all layers, each counted once.
func (m *Image) bytes() int64 { return layerBytes(m.layers) }

func layerBytes(layers []ocispec.Descriptor) (n int64) {
	seen := make(map[digest.Digest]bool)
	for _, d := range layers {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			n += d.Size
		}
	}
	return n
}

// Exists reports whether the image has the content.
func (m *Image) Exists(_ context.Context, d ocispec.Descriptor) (bool, error) {
	_, ok := m.blobs[d.Digest]
	return ok, nil
}

// Fetch opens content of the image.
func (m *Image) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, errors.New("the image has no " + d.Digest.String())
	}
	return b.open()
}
