package prune_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/vgg16se"
)

// The channels of another program's choice stay, and what is no choice is said.
func TestChoose(t *testing.T) {
	n := network(t, small, vgg16se.Seeded(1))
	s, err := prune.Analyse(t.Context(), n, bench(t, 64))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Choose(map[string][]int{"features.0": {6, 1}, "features.28": {0, 63}})
	if err != nil {
		t.Fatal(err)
	}
	cut, err := s.Apply(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := n.Arch.Channels
	want[0], want[10] = 2, 2
	if !slices.Equal(p[0], []int{1, 6}) || cut.Arch.Channels != want {
		t.Errorf("%v stay of the first layer; widths %v, want %v", p[0], cut.Arch.Channels, want)
	}
	for words, choice := range map[string]map[string][]int{
		"channels 0 to 7, not 8":     {"features.0": {0, 8}},
		"channels 0 to 7, not -1":    {"features.0": {-1, 3}},
		"no channel of features.0":   {"features.0": {}},
		"features.0 is chosen twice": {"features.0": {3, 1, 3}},
		"no layer feature.0":         {"feature.0": {3}},
	} {
		if _, err := s.Choose(choice); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v, want %q", choice, err, words)
		}
	}
}
