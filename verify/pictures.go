package verify

import (
	"slices"

	"github.com/vggse/vggse-agent/bundle"
)

// Pictures reports whether the goldens in the file at path, of a bundle with the given manifest,
// show anything: whether they are none of those that this program makes up, noise and waves. What
// cannot be read counts as pictures.
func Pictures(path string, spec *bundle.Spec) bool {
	g, err := Read(path, spec)
	if err != nil {
		return true
	}
	n := int(g.Input.Shape[0])
	noise := seededPictures(n, spec.Architecture.InputSize).Data
	if slices.Equal(g.Input.Data, noise) || n > Pairs {
		return !slices.Equal(g.Input.Data, noise)
	}
	for _, bytes := range []bool{false, true} {
		var made []float32
		for _, x := range MadeUp(spec, bytes)[:n] {
			made = append(made, x.Data...)
		}
		if slices.Equal(g.Input.Data, made) {
			return false
		}
	}
	return true
}
