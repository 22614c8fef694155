package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/onnx"
)

// candidate is an installed bundle that a trusted key signed.
type candidate struct {
	*bundle.Bundle
	statement      *Statement
	signer         *Key
	raw, signature []byte
}

// findParent is the signed bundle of the store that the one in the folder dir was made from, and
// what was proven of that: LocalTeach or LocalAll.
func (g *Gate) findParent(ctx context.Context, t *Trust, dir string) (*candidate, string, error) {
	child, err := bundle.Open(dir)
	if err != nil {
		return nil, "", err
	}
	all, err := g.candidates(t)
	if err != nil {
		return nil, "", err
	}
	if len(all) == 0 {
		return nil, "", fmt.Errorf("%w; a bundle that was made on this device needs its signed parent installed "+
			"beside it: pull that with 'vggse-agent release pull', then install this one again", t.unsigned(nil))
	}
	var near error
	for i := range all {
		differs, err := differsInHead(ctx, child, all[i].Bundle)
		if err != nil {
			return nil, "", err
		}
		if differs == "" {
			return &all[i], LocalTeach, nil
		}
		near = fmt.Errorf("%w; it was not taught from %s %s, which is installed and signed, for %s differs",
			t.unsigned(nil), all[i].Spec.Name, all[i].Spec.Version, differs)
	}
	for i := range all {
		if !madeFrom(child, all[i].Bundle) {
			continue
		}
		switch err := g.allows(LocalAll); {
		case err != nil && child.Spec.HasHead(): // on the parent's own file: what differs says more
			return nil, "", near
		case err != nil:
			return nil, "", err
		}
		return &all[i], LocalAll, nil
	}
	return nil, "", near
}

// candidates are the installed bundles that trusted keys signed and that are not revoked.
func (g *Gate) candidates(t *Trust) ([]candidate, error) {
	installed, err := store.At(g.StateDir).List()
	if err != nil {
		return nil, err
	}
	var all []candidate
	for _, i := range installed {
		raw, signature, err := bundle.ReadStatement(i.Dir)
		if err != nil || raw == nil || signature == nil {
			continue
		}
		c := candidate{raw: raw, signature: signature}
		if c.signer, err = t.signer(raw, signature); err != nil {
			continue
		}
		if c.statement, err = g.parentOf(t, raw, signature); err != nil || c.statement.Bundle != i.SHA256 {
			continue
		}
		if c.Bundle, err = bundle.Open(i.Dir); err == nil {
			all = append(all, c)
		}
	}
	return all, nil
}

// Files of a bundle that its network does not depend on: the last layer, what tells pictures of its
// classes from others, goldens, and what teach keeps of the pictures. All of them are read by this
// program, none by a runtime.
var besideNetwork = []string{bundle.FileHead, bundle.FileKnown, bundle.FileGolden, bundle.FileGoldens8,
	bundle.FileReference}

// differsInHead says in what the child differs from the parent beside its last layer and labels;
// empty: in nothing. The child's files were compared with its manifest before.
func differsInHead(ctx context.Context, child, parent *bundle.Bundle) (string, error) {
	if !child.Spec.HasHead() {
		return bundle.HeadName + " is missing and so the whole network", nil
	}
	if what := specDiffers(&child.Spec, &parent.Spec); what != "" {
		return what, nil
	}
	for _, key := range slices.Sorted(maps.Keys(child.Spec.Files)) {
		if slices.Contains(besideNetwork, key) {
			if path := child.Spec.Files[key].Path; standsInNetwork(parent, path) {
				return path, nil
			}
			continue
		}
		if _, ok := parent.Spec.Files[key]; !ok {
			return "files." + key, nil
		}
		want, err := backboneSum(ctx, parent, key)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil || child.Spec.Files[key].SHA256 != want {
			return child.Spec.Files[key].Path, nil
		}
	}
	return "", nil
}

// standsInNetwork reports whether a path is that of a file of the parent's network, such as the
// weights beside an ONNX file.
func standsInNetwork(parent *bundle.Bundle, path string) bool {
	for key, f := range parent.Spec.Files {
		if !slices.Contains(besideNetwork, key) && filepath.Clean(f.Path) == filepath.Clean(path) {
			return true
		}
	}
	return false
}

// specDiffers is the key of the manifest that decides about answers and differs; empty: none.
func specDiffers(child, parent *bundle.Spec) string {
	a, b := child.Architecture, parent.Architecture
	a.Classes, b.Classes = 0, 0
	switch {
	case !reflect.DeepEqual(a, b):
		return "architecture"
	case child.Input != parent.Input:
		return "input"
	case !reflect.DeepEqual(child.Preprocess, parent.Preprocess):
		return "preprocess"
	case child.Output.Scores != parent.Output.Scores:
		return "output.scores"
	}
	return ""
}

// backboneSum is the SHA-256 of a model file of the parent as a taught child has it: of the file
// itself where it gives features, else of what teach makes of it.
func backboneSum(ctx context.Context, parent *bundle.Bundle, key string) (string, error) {
	if err := parent.CheckFile(ctx, key); err != nil {
		return "", err
	}
	f := parent.Spec.Files[key]
	if parent.Spec.HasHead() || filepath.Ext(f.Path) != ".onnx" {
		return f.SHA256, nil
	}
	m, err := onnx.Open(filepath.Join(parent.Dir, f.Path))
	if err != nil {
		return "", err
	}
	defer m.Close()
	if m.Exposes(parent.Spec.Output.Name) {
		return f.SHA256, nil
	}
	if !m.GiveFeatures(parent.Spec.Output.Name, !bundle.OnlyTensorRT(key)) {
		return "", fmt.Errorf("%s gives no features", f.Path)
	}
	sum := sha256.New()
	if err := onnx.Write(&untilDoneWriter{ctx, sum}, m); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// untilDoneWriter writes until its context ends.
type untilDoneWriter struct {
	ctx context.Context
	io.Writer
}

func (u *untilDoneWriter) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Writer.Write(p)
}

// madeFrom reports whether the child says that it was made from the parent, as calibrate and prune
// write it: the same FP32 file, or its digest in the new one.
func madeFrom(child, parent *bundle.Bundle) bool {
	f, want := child.Spec.Files[bundle.FileFP32], parent.Spec.Files[bundle.FileFP32].SHA256
	if want == "" {
		return false
	}
	if f.SHA256 == want {
		return true
	}
	m, err := onnx.Open(filepath.Join(child.Dir, f.Path))
	if err != nil {
		return false
	}
	defer m.Close()
	return slices.Contains(m.Metadata, onnx.Property{Key: "vggse.source_sha256", Value: want})
}
