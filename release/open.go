package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// Release is one that was found and whose statement, manifest, config and model.yaml passed every
// check. Its other content is not read yet. Whoever opened it closes it.
type Release struct {
	*Admission
	Text   []byte   // of model.yaml; nil in the plain form, where it is inside the layer
	Absent []string // keys of files of the bundle that the release does not have
	Place  Place

	image ocispec.Descriptor
	text  []byte // of the image's manifest
	plan  *plan
	spec  *bundle.Spec // nil in the plain form
	from  source
}

// Open finds a release at a place and checks what comes before its content, in this order: sizes,
// the signature, the statement, the manifest's digest, every layer's size, config and model.yaml.
func Open(ctx context.Context, p Place, g *Gate, want Wanted) (*Release, error) {
	at, err := p.Open()
	if err != nil {
		return nil, err
	}
	return at.Release(ctx, g, want)
}

// Opened is a place that is open for reading, with the rights that this process had then.
type Opened struct {
	place Place
	from  source
}

// Open opens the place. Whoever opened it closes the release that it becomes.
func (p Place) Open() (*Opened, error) {
	src, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("release: %s: %w", p, err)
	}
	return &Opened{p, src}, nil
}

// Release is Open for a place that is open; where it fails it closes the place.
func (o *Opened) Release(ctx context.Context, g *Gate, want Wanted) (*Release, error) {
	p, src := o.place, o.from
	if want.Release == 0 {
		want.Release = p.Release
	}
	if want.Name == "" {
		want.Name = p.Name
	}
	if want.Name == "" && p.Registry != "" {
		want.Name = p.name()
	}
	r := &Release{Place: p, from: src}
	if err := r.read(ctx, g, want); err != nil {
		src.Close()
		return nil, fmt.Errorf("release: %s: %w", p, err)
	}
	return r, nil
}

// Close closes the place.
func (r *Release) Close() error { return r.from.Close() }

// Digest is that of the image's manifest.
func (r *Release) Digest() string { return r.image.Digest.String() }

func (r *Release) read(ctx context.Context, g *Gate, want Wanted) (err error) {
	if r.image, err = r.from.find(ctx, want.Release); err != nil {
		return err
	}
	if r.image.Size < 1 || r.image.Size > manifestBytes {
		return fmt.Errorf("the image's manifest has %d bytes, at most %d are possible: %s", r.image.Size,
			manifestBytes, again)
	}
	if r.Admission, err = r.admit(ctx, g, want); err != nil {
		return err
	}
	if r.text, err = readBlob(ctx, r.from, r.image, manifestBytes); err != nil {
		return fmt.Errorf("the image's manifest: %w", err)
	}
	if r.plan, err = parsePlan(r.text); err != nil {
		return err
	}
	if s := r.Statement; s != nil && layerBytes(r.plan.layers) != s.Bytes {
		return fmt.Errorf("the layers have %d bytes, the statement says %d: %s", layerBytes(r.plan.layers), s.Bytes,
			again)
	}
	if _, err := readBlob(ctx, r.from, r.plan.config, manifestBytes); err != nil {
		return fmt.Errorf("the image's config: %w", err)
	}
	if r.plan.plain != nil {
		return nil
	}
	if r.Text, err = readBlob(ctx, r.from, r.plan.spec, textBytes); err != nil {
		return fmt.Errorf("%s: %w", bundle.SpecFile, err)
	}
	return r.readSpec()
}

// admit chooses the statement that passes.
func (r *Release) admit(ctx context.Context, g *Gate, want Wanted) (*Admission, error) {
	all, err := r.from.statements(ctx, r.image)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return g.Examine(nil, nil, want)
	}
	for _, one := range all {
		a, problem := g.Examine(one.raw, one.signature, want)
		if problem == nil && a.Statement.Manifest != (Blob{r.image.Digest.String(), r.image.Size}) {
			problem = fmt.Errorf("the statement is about image %.19s…, this is %.19s…: they do not belong together, %s",
				a.Statement.Manifest.Digest, r.image.Digest, again)
		}
		if problem == nil {
			return a, nil
		}
		var foreign errForeign
		var asked errAsked
		// What is wrong with a trusted one, about what was asked for, says more.
		if err == nil || errors.As(err, &foreign) || errors.As(err, &asked) {
			err = problem
		}
	}
	return nil, err
}

// readSpec compares model.yaml with the statement and the layers.
func (r *Release) readSpec() (err error) {
	s := r.Statement
	if sum := hexSum(r.Text); s != nil && sum != s.Bundle {
		return fmt.Errorf("%s has SHA-256 %.12s…, the statement says %.12s…: %s", bundle.SpecFile, sum, s.Bundle, again)
	}
	if r.spec, err = bundle.ParseSpec(r.Text); err != nil {
		return err
	}
	if r.Absent, err = r.plan.fits(r.spec); err != nil || s == nil {
		return err
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(r.spec.Files)), func(key string) bool {
		return slices.Contains(r.Absent, key)
	})
	if !slices.Equal(keys, s.Files) || len(r.spec.Labels) != s.Classes || r.spec.Architecture.InputSize != s.Input {
		return fmt.Errorf("files, classes or input are others than the statement says: %s", again)
	}
	return nil
}

// Image is the release as it can be pushed to another place, while this one is open.
func (r *Release) Image() (*Image, *Signed, error) {
	if r.Statement == nil {
		return nil, nil, fmt.Errorf("release: %s is not signed: 'vggse-agent release sign' does that", r.Place)
	}
	m := &Image{manifest: r.text, layers: r.plan.layers,
		blobs: map[digest.Digest]blob{r.image.Digest: inMemory(r.text)}}
	for _, d := range append([]ocispec.Descriptor{r.plan.config}, r.plan.layers...) {
		m.blobs[d.Digest] = blob{d.Size, func() (io.ReadCloser, error) {
			return checkedLayer(d, func(d ocispec.Descriptor) (io.ReadCloser, error) {
				return r.from.fetch(context.Background(), d)
			})
		}}
	}
	return m, &Signed{r.Statement, r.raw, r.sig}, nil
}
