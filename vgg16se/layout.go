package vgg16se

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// layout says how a checkpoint numbers the modules of features.
type layout struct{ se, norm bool }

// layouts are the article's class, torchvision's vgg16, and both with batch normalization.
var layouts = []layout{{true, false}, {false, false}, {true, true}, {false, true}}

// module is a layer with parameters: from is its name in the checkpoint, norm that of the batch
// normalization behind it, "" where there is none; stage counts the max-pools before it.
type module struct {
	Layer
	from, norm string
	stage      int
}

// modules lists a layout in the order of the forward pass, with the shapes of a.
func (l layout) modules(a Architecture) []module {
	a.NoSE = !l.se
	var list []module
	stage, norms := 0, 0 // norms: so far, each moves what follows by one
	for _, layer := range a.Layers() {
		if layer.Op == OpMaxPool {
			stage++
		}
		if len(layer.Params) == 0 {
			continue
		}
		m := module{Layer: layer, from: layer.Name, stage: stage}
		if number, ok := strings.CutPrefix(layer.Name, "features."); ok {
			n, _ := strconv.Atoi(number)
			m.from = fmt.Sprintf("features.%d", n+norms)
			if l.norm && layer.Op == OpConv {
				norms++
				m.norm = fmt.Sprintf("features.%d", n+norms)
			}
		}
		list = append(list, m)
	}
	return list
}

// source is the name in the checkpoint of parameter p of the module.
func (m module) source(p Param) string { return m.from + strings.TrimPrefix(p.Name, m.Name) }

// normParts are the tensors of a batch normalization.
var normParts = []string{".weight", ".bias", ".running_mean", ".running_var"}

// names lists the keys that a checkpoint of the layout has. Before batch normalization a convolution
// may lack its bias.
func (l layout) names() (required, optional []string) {
	for _, m := range l.modules(Architecture{}) {
		for _, p := range m.Params {
			if m.norm != "" && strings.HasSuffix(p.Name, ".bias") {
				optional = append(optional, m.source(p))
			} else {
				required = append(required, m.source(p))
			}
		}
		for _, part := range normParts {
			if m.norm != "" {
				required = append(required, m.norm+part)
			}
		}
	}
	return required, optional
}

// nearest is the layout that shares the most keys with the checkpoint and lacks the fewest.
func nearest(tensors map[string]*checkpoint.Tensor) layout {
	best, bestScore := layouts[0], -1<<30
	for _, l := range layouts {
		required, _ := l.names()
		score := -len(tensors)
		for _, name := range required {
			if tensors[name] != nil {
				score += 2
			} else {
				score--
			}
		}
		if score > bestScore {
			best, bestScore = l, score
		}
	}
	return best
}

// wrappers are what PyTorch's and others' containers put before the names of a network.
var wrappers = []string{"module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "vgg."}

// ignored are counters that some containers keep among the weights.
var ignored = regexp.MustCompile(`(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params)$`)

// plainNames maps the tensors by name, without counters and without what stands before every name.
func plainNames(tensors []checkpoint.Tensor) map[string]*checkpoint.Tensor {
	names := map[string]*checkpoint.Tensor{}
	for i := range tensors {
		if name := tensors[i].Name; !ignored.MatchString(name) {
			names[name] = &tensors[i]
		}
	}
	for again := true; again; {
		again = false
		for _, w := range wrappers {
			if len(names) > 0 && allHave(names, w) {
				names, again = without(names, w), true
			}
		}
	}
	return seNames(names)
}

func allHave(names map[string]*checkpoint.Tensor, prefix string) bool {
	for name := range names {
		if !strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

func without(names map[string]*checkpoint.Tensor, prefix string) map[string]*checkpoint.Tensor {
	short := make(map[string]*checkpoint.Tensor, len(names))
	for name, t := range names {
		short[strings.TrimPrefix(name, prefix)] = t
	}
	return short
}

var inFeatures = regexp.MustCompile(`^(features\.\d+)\.(.+)\.weight$`)

// seNames renames the two matrices of an SE block, whatever they are called (fc1 and fc2, excitation.0
// and .2, …), to fc.0 and fc.2 where a module of features holds just these two.
func seNames(names map[string]*checkpoint.Tensor) map[string]*checkpoint.Tensor {
	inside := map[string][]string{}
	for name := range names {
		if m := inFeatures.FindStringSubmatch(name); m != nil {
			inside[m[1]] = append(inside[m[1]], name)
		}
	}
	for module, list := range inside {
		if len(list) != 2 {
			continue
		}
		slices.Sort(list)
		first, second := names[list[0]], names[list[1]]
		delete(names, list[0])
		delete(names, list[1])
		names[module+".fc.0.weight"], names[module+".fc.2.weight"] = first, second
	}
	return names
}
