package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// plan is how the files of a release are put together from its layers.
type plan struct {
	config ocispec.Descriptor
	plain  *ocispec.Descriptor // the one layer of the plain form; nil: pieces
	spec   ocispec.Descriptor  // of model.yaml, in the pieces form
	files  []planFile
	layers []ocispec.Descriptor
}

// planFile is one file: its skeleton in order, and its pieces by offset.
type planFile struct {
	path, sum string
	size      int64
	skeleton  []ocispec.Descriptor
	pieces    []planPiece
}

type planPiece struct {
	offset int64
	layer  ocispec.Descriptor
}

const again = "get the release again"

// parsePlan reads an image's manifest. Every size in it is bounded: the reader is told them before
// the first byte of a layer.
func parsePlan(text []byte) (*plan, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("the image's manifest is damaged (%w): %s", err, again)
	}
	p := &plan{config: m.Config, layers: m.Layers}
	if m.SchemaVersion != 2 || len(m.Layers) == 0 || !isSHA256(string(m.Config.Digest)) || m.Config.Size < 0 ||
		m.Config.Size > manifestBytes {
		return nil, errors.New("the image is none that 'vggse-agent release push' makes")
	}
	for _, d := range m.Layers {
		if !isSHA256(string(d.Digest)) || d.Size < 1 {
			return nil, fmt.Errorf("a layer has digest %.80q and %d bytes, which cannot be: %s", string(d.Digest),
				d.Size, again)
		}
	}
	switch m.Config.MediaType {
	case ocispec.MediaTypeImageConfig:
		if len(m.Layers) != 1 || m.Layers[0].MediaType != ocispec.MediaTypeImageLayer {
			return nil, errors.New("the image is none that 'vggse-agent release push' makes: it must have one plain " +
				"tar layer")
		}
		p.plain = &m.Layers[0]
		return p, nil
	case typeConfig:
		return p, p.readLayers(m.Layers)
	}
	return nil, fmt.Errorf("the image has a config of type %.80q, which is none of a release", m.Config.MediaType)
}

// readLayers sorts the layers of the pieces form into files.
func (p *plan) readLayers(layers []ocispec.Descriptor) error {
	if layers[0].MediaType != typeSpec || layers[0].Size > textBytes {
		return fmt.Errorf("the image's first layer must be %s of at most %d bytes: %s", bundle.SpecFile, textBytes,
			again)
	}
	p.spec = layers[0]
	for _, d := range layers[1:] {
		if d.Size > pieceBytes {
			return fmt.Errorf("layer %.19s… has %d bytes, a piece has at most %d: %s", d.Digest, d.Size, pieceBytes,
				again)
		}
		if err := p.addLayer(d); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for i := range p.files {
		if seen[p.files[i].path] {
			return fmt.Errorf("the parts of %s do not stand together: %s", p.files[i].path, again)
		}
		seen[p.files[i].path] = true
		if err := p.files[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// addLayer adds a part to the last file, or begins the next one.
func (p *plan) addLayer(d ocispec.Descriptor) error {
	path := filepath.FromSlash(d.Annotations[annotationPath])
	if !filepath.IsLocal(path) || filepath.Clean(path) != path {
		return fmt.Errorf("a layer is a part of %.80q, which leads out of a bundle: %s", path, again)
	}
	order, err := strconv.Atoi(d.Annotations[annotationOrder])
	if err != nil {
		return fmt.Errorf("a part of %s has no number: %s", path, again)
	}
	if order == 0 {
		size, err := strconv.ParseInt(d.Annotations[annotationSize], 10, 64)
		sum := d.Annotations[annotationSum]
		if err != nil || size < 1 || !bundle.IsDigest(sum) {
			return fmt.Errorf("the first part of %s does not say size and SHA-256 of the whole: %s", path, again)
		}
		p.files = append(p.files, planFile{path: path, sum: sum, size: size})
	}
	if len(p.files) == 0 || p.files[len(p.files)-1].path != path ||
		p.files[len(p.files)-1].parts() != order {
		return fmt.Errorf("part %d of %s stands in another order: %s", order, path, again)
	}
	return p.files[len(p.files)-1].add(d)
}

func (f *planFile) parts() int { return len(f.skeleton) + len(f.pieces) }

// add adds a part: the skeleton comes before the pieces.
func (f *planFile) add(d ocispec.Descriptor) error {
	text, piece := d.Annotations[annotationOffset]
	if !piece {
		if len(f.pieces) > 0 {
			return fmt.Errorf("a part of the skeleton of %s stands behind its pieces: %s", f.path, again)
		}
		f.skeleton = append(f.skeleton, d)
		return nil
	}
	offset, err := strconv.ParseInt(text, 10, 64)
	end := int64(0)
	if n := len(f.pieces); n > 0 {
		end = f.pieces[n-1].offset + f.pieces[n-1].layer.Size
	}
	if err != nil || offset < end || offset > f.size-d.Size {
		return fmt.Errorf("a piece of %s is for byte %.20s, where it cannot be: %s", f.path, text, again)
	}
	f.pieces = append(f.pieces, planPiece{offset, d})
	return nil
}

// check sees that the parts fill the file exactly.
func (f *planFile) check() error {
	total := int64(0)
	for _, d := range f.layers() {
		total += d.Size
	}
	if total != f.size {
		return fmt.Errorf("the parts of %s have %d bytes, the file has %d: %s", f.path, total, f.size, again)
	}
	return nil
}

// layers are the parts in their order.
func (f *planFile) layers() []ocispec.Descriptor {
	all := slices.Clone(f.skeleton)
	for _, p := range f.pieces {
		all = append(all, p.layer)
	}
	return all
}

// fits compares the files of the plan with the manifest of the bundle and returns the keys of those
// that are not in it.
func (p *plan) fits(spec *bundle.Spec) (absent []string, err error) {
	byPath := make(map[string]planFile)
	for _, f := range p.files {
		byPath[f.path] = f
	}
	for key, want := range spec.Files {
		path := filepath.Clean(want.Path)
		f, ok := byPath[path]
		switch {
		case !ok:
			absent = append(absent, key)
		case f.sum != want.SHA256 || want.Bytes != 0 && f.size != want.Bytes:
			return nil, fmt.Errorf("%s is another file than the one that %s names: %s", path, bundle.SpecFile, again)
		}
	}
	for path := range byPath {
		if !slices.ContainsFunc(bundle.MembersOf(spec), func(f bundle.File) bool { return f.Path == path }) {
			return nil, fmt.Errorf("the release has %s, which %s does not name: %s", path, bundle.SpecFile, again)
		}
	}
	slices.Sort(absent)
	return absent, nil
}
