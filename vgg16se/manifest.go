package vgg16se

import (
	"fmt"

	"github.com/vggse/vggse-agent/model"
)

// Families of model.Architecture that this package builds.
const (
	Family     = "vgg16se"
	FamilyNoSE = "vgg16"
)

// Manifest is the architecture as model.yaml spells it.
func (a Architecture) Manifest() model.Architecture {
	a = a.Full()
	m := model.Architecture{Family: Family, InputSize: a.InputSize, Width: a.Width, Reduction: a.Reduction,
		Hidden: a.Hidden, PoolSize: a.PoolSize, Classes: a.Classes}
	if a.Hidden2 != a.Hidden {
		m.Hidden2 = a.Hidden2
	}
	if a.NoSE {
		m.Family, m.Reduction = FamilyNoSE, 0
	}
	return m
}

// FromManifest is the architecture that a manifest names; an error where it is another network.
func FromManifest(m model.Architecture) (Architecture, error) {
	if m.Family != Family && m.Family != FamilyNoSE {
		return Architecture{}, fmt.Errorf("vgg16se: architecture.family is %q, not %q or %q", m.Family, Family, FamilyNoSE)
	}
	a := Architecture{InputSize: m.InputSize, Width: m.Width, Reduction: m.Reduction, Hidden: m.Hidden,
		Hidden2: m.Hidden2, PoolSize: m.PoolSize, Classes: m.Classes, NoSE: m.Family == FamilyNoSE}
	return a, a.Validate()
}
