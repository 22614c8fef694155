package vgg16se

import (
	"fmt"

	"github.com/vggse/vggse-agent/bundle"
)

// Families of bundle.Architecture that this package builds.
const (
	Family     = "vgg16se"
	FamilyNone = "vgg16"
)

// Manifest is the architecture as model.yaml spells it.
func (a Architecture) Manifest() bundle.Architecture {
	a = a.Full()
	m := bundle.Architecture{Family: Family, InputSize: a.InputSize, Width: a.Width, Reduction: a.Reduction,
		Hidden: a.Hidden, PoolSize: a.PoolSize, Classes: a.Classes}
	if a.Hidden2 != a.Hidden {
		m.Hidden2 = a.Hidden2
	}
	switch a.Attention {
	case None:
		m.Family, m.Reduction = FamilyNone, 0
	case SE:
	default:
		m.Attention = string(a.Attention)
	}
	if a.Channels != [16]int{} {
		m.Channels, m.Width = a.Channels[:a.Convolutions()], 0
	}
	if a.Depths != vgg16 {
		m.Depths = a.Depths[:]
	}
	if a.Squeezed != [5]int{} {
		m.Squeezed, m.Reduction = a.Squeezed[:], 0
	}
	return m
}

// FromManifest is the architecture that a manifest names; an error where it is another network.
func FromManifest(m bundle.Architecture) (Architecture, error) {
	if m.Family != Family && m.Family != FamilyNone {
		return Architecture{}, fmt.Errorf("vgg16se: architecture.family is %q, not %q or %q", m.Family, Family,
			FamilyNone)
	}
	a := Architecture{InputSize: m.InputSize, Width: m.Width, Reduction: m.Reduction, Hidden: m.Hidden,
		Hidden2: m.Hidden2, PoolSize: m.PoolSize, Classes: m.Classes, Attention: Attention(m.Attention)}
	if m.Family == FamilyNone {
		a.Attention = None
	}
	if n := copy(a.Depths[:], m.Depths); n != len(m.Depths) || n > 0 && n < len(a.Depths) {
		return a, fmt.Errorf("vgg16se: architecture.depths has %d numbers, must have %d", len(m.Depths), len(a.Depths))
	}
	if n := copy(a.Channels[:], m.Channels); n > 0 && len(m.Channels) != a.Convolutions() {
		return a, fmt.Errorf("vgg16se: architecture.channels has %d numbers, must have %d", len(m.Channels),
			a.Convolutions())
	}
	if n := copy(a.Squeezed[:], m.Squeezed); n != len(m.Squeezed) || n > 0 && n < len(a.Squeezed) {
		return a, fmt.Errorf("vgg16se: architecture.squeezed has %d numbers, must have %d", len(m.Squeezed),
			len(a.Squeezed))
	}
	return a, a.Validate()
}

// NewSpec is the manifest of a VGG of ours, but for its name, preprocessing, files and origin.
func NewSpec(a Architecture, labels []string) bundle.Spec {
	return bundle.Spec{
		Schema:       bundle.SpecSchema,
		Architecture: a.Manifest(),
		Input:        bundle.Port{Name: Input},
		Output:       bundle.Port{Name: Output},
		Labels:       labels,
	}
}
