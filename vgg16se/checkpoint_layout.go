package vgg16se

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// layout says how a checkpoint numbers the modules of features: norm is batch normalization behind
// the convolutions.
type layout struct {
	attention Attention
	depths    [5]int
	norm      bool
}

// layouts are the article's class, torchvision's vgg16, the relatives of SE, all of them with batch
// normalization, and all those with the depths of VGG11, 13 and 19.
var layouts = func() (all []layout) {
	for _, depths := range append([][5]int{vgg16}, configurations...) {
		for _, norm := range []bool{false, true} {
			for _, a := range []Attention{SE, None, SEBias, SSE, SCSE, BAM, CBAM} {
				all = append(all, layout{a, depths, norm})
			}
		}
	}
	return all
}()

// module is a layer with parameters: from is its name in the checkpoint, norms says which batch
// normalizations of the checkpoint stand behind which of its parts; conv counts the convolutions
// before it, stage the max-pools.
type module struct {
	Layer
	from        string
	norms       map[string]string // both are names in the checkpoint
	conv, stage int
}

// modules lists a layout in the order of the forward pass, with the shapes of a.
func (l layout) modules(a Architecture) []module {
	a.Attention, a.Depths = l.attention, l.depths
	var list []module
	stage, conv, norms := 0, 0, 0 // norms: so far, each moves what follows by one
	for _, layer := range a.Layers() {
		if layer.Op == OpMaxPool {
			stage++
		}
		if len(layer.Params) == 0 {
			continue
		}
		m := module{Layer: layer, from: layer.Name, norms: map[string]string{}, conv: conv, stage: stage}
		if number, ok := strings.CutPrefix(layer.Name, "features."); ok {
			n, _ := strconv.Atoi(number)
			m.from = fmt.Sprintf("features.%d", n+norms)
			if layer.Op == OpConv {
				conv++
			}
			if l.norm && layer.Op == OpConv {
				norms++
				m.norms[m.from] = fmt.Sprintf("features.%d", n+norms)
			}
		}
		if layer.Op == OpBAM {
			for part, norm := range bamNorms {
				m.norms[m.from+"."+part] = m.from + "." + norm
			}
		}
		list = append(list, m)
	}
	return list
}

// source is the name in the checkpoint of parameter p of the module.
func (m module) source(p Param) string { return m.from + strings.TrimPrefix(p.Name, m.Name) }

// norm is the batch normalization behind parameter p, "" where there is none.
func (m module) norm(p Param) string {
	name := m.source(p)
	return m.norms[name[:strings.LastIndexByte(name, '.')]]
}

// normParts are the tensors of a batch normalization.
var normParts = []string{".weight", ".bias", ".running_mean", ".running_var"}

// names lists the keys that a checkpoint of the layout has. Before batch normalization a
// convolution may lack its bias.
func (l layout) names() (required, optional []string) {
	for _, m := range l.modules(Architecture{}) {
		for _, p := range m.Params {
			if m.norm(p) != "" && strings.HasSuffix(p.Name, ".bias") {
				optional = append(optional, m.source(p))
			} else {
				required = append(required, m.source(p))
			}
		}
		for _, norm := range m.norms {
			for _, part := range normParts {
				required = append(required, norm+part)
			}
		}
	}
	return required, optional
}

// nearest is the layout that shares the most keys with the checkpoint and lacks the fewest.
func nearest(tensors map[string]*checkpoint.Tensor) layout {
	best, bestScore, shared := layouts[0], -1<<30, false
	for _, l := range layouts {
		required, _ := l.names()
		score := -len(tensors)
		shared = shared || slices.ContainsFunc(required, func(name string) bool { return tensors[name] != nil })
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
	if !shared { // nothing is nearer than another
		return layout{None, vgg16, false}
	}
	return best
}

// wrappers are what PyTorch's and others' containers put before the names of a network.
var wrappers = []string{"module.", "model.", "net.", "network.", "backbone.", "vgg.", "encoder."}

// inner are what torch.compile, FSDP and activation checkpointing put before the names of any module,
// those within a network, too.
var inner = strings.NewReplacer("_orig_mod.", "", "_fsdp_wrapped_module.", "", "_checkpoint_wrapped_module.", "")

// ignored are counters that some containers keep among the weights.
var ignored = regexp.MustCompile(`(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params)$`)

// plainNames maps the tensors by name, without counters and without what stands before every name.
func plainNames(tensors []checkpoint.Tensor) map[string]*checkpoint.Tensor {
	names := map[string]*checkpoint.Tensor{}
	for i := range tensors {
		if name := inner.Replace(tensors[i].Name); !ignored.MatchString(name) {
			names[name] = &tensors[i]
		}
	}
	for again := true; again; {
		again = false
		for _, w := range append(wrappers, ownWrapper(names)...) {
			if len(names) > 0 && mostHave(names, w) {
				names, again = without(names, w), true
			}
		}
	}
	return gateNames(names)
}

// ownWrapper is what stands before the names of a network that somebody's own container holds, under
// whatever name.
func ownWrapper(names map[string]*checkpoint.Tensor) []string {
	for name := range names {
		if at := strings.Index(name, ".features.0."); at > 0 {
			return []string{name[:at+1]}
		}
	}
	return nil
}

// besides is the largest part of the names that may stand beside a wrapped network: a criterion's
// weights, a metric's counters.
const besides = 0.2

// mostHave tells whether the prefix stands before the names of a network: all, or all but a few
// that are no layer's.
func mostHave(names map[string]*checkpoint.Tensor, prefix string) bool {
	others := 0
	for name := range names {
		switch {
		case strings.HasPrefix(name, prefix):
		case strings.HasPrefix(name, "features.") || strings.HasPrefix(name, "classifier."):
			return false
		default:
			others++
		}
	}
	return float64(others) <= besides*float64(len(names))
}

func without(names map[string]*checkpoint.Tensor, prefix string) map[string]*checkpoint.Tensor {
	short := make(map[string]*checkpoint.Tensor, len(names))
	for name, t := range names {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			short[rest] = t
		}
	}
	return short
}

var (
	reducing  = regexp.MustCompile(`(reduce|reduction|squeeze|down|compress|encode)[^.]*\.weight$`)
	expanding = regexp.MustCompile(`(expand|expansion|excite|excitation|up|restore|decode)[^.]*\.weight$`)
	counted   = regexp.MustCompile(`^(.*?)(\d+)([^\d]*)\.weight$`)
)

// inOrder brings the two matrices of a gate, the first of list, into the order in which they are
// used: the one that reduces first, by their shapes, of squares by their names. It tells whether
// that order is known.
func inOrder(names map[string]*checkpoint.Tensor, list []string) bool {
	a, b := names[list[0]].Shape, names[list[1]].Shape
	if len(a) < 2 || len(b) < 2 {
		return true
	}
	first, second := counted.FindStringSubmatch(list[0]), counted.FindStringSubmatch(list[1])
	swap := false
	switch {
	case a[0] < a[1]:
	case a[0] > a[1] && b[0] < b[1]:
		swap = true
	case a[0] != a[1]:
	case reducing.MatchString(list[0]) && expanding.MatchString(list[1]):
	case expanding.MatchString(list[0]) && reducing.MatchString(list[1]):
		swap = true
	case first != nil && second != nil && first[1] == second[1] && first[3] == second[3]:
		swap = len(first[2]) > len(second[2]) // 10 sorts before 2
	default:
		return false
	}
	if swap {
		list[0], list[1] = list[1], list[0]
	}
	return true
}

// biasOf is the name of the bias beside a weight.
func biasOf(weight string) string { return strings.TrimSuffix(weight, "weight") + "bias" }

var inFeatures = regexp.MustCompile(`^(features\.\d+)\.(.+)\.weight$`)

// gateNames gives the weights of an attention block, whatever they are called (fc1 and fc2,
// excitation.0 and .2, …), the names of its class here: a module of features with one matrix is
// sSE, with two SE, with three CBAM where one is a k×k kernel of two channels, else scSE. BAM goes
// by its own names.
func gateNames(names map[string]*checkpoint.Tensor) map[string]*checkpoint.Tensor {
	inside := map[string][]string{}
	for name := range names {
		if m := inFeatures.FindStringSubmatch(name); m != nil {
			inside[m[1]] = append(inside[m[1]], name)
		}
	}
	for module, list := range inside {
		slices.Sort(list)
		var places string // the kernel over places
		mlp := "fc"
		for i, name := range list {
			if shape := names[name].Shape; len(list)&1 == 1 && len(shape) == 4 && shape[0] == 1 && places == "" {
				if places = "conv"; shape[1] == 2 && shape[2] > 1 {
					places, mlp = "spatial", "mlp"
				}
				list = append(slices.Delete(list, i, i+1), name) // last
				break
			}
		}
		sure := len(list) < 2 || inOrder(names, list)
		var to []string
		switch {
		case !sure: // named as it is, it is refused
		case len(list) == 1 && places != "":
			to = []string{places}
		case len(list) == 2:
			to = []string{"fc.0", "fc.2"}
		case len(list) == 3 && places != "":
			to = []string{mlp + ".0", mlp + ".2", places}
		}
		var tensors, biases []*checkpoint.Tensor
		for i := range to {
			tensors = append(tensors, names[list[i]])
			biases = append(biases, names[biasOf(list[i])])
			delete(names, list[i])
			delete(names, biasOf(list[i]))
		}
		for i, t := range tensors {
			names[module+"."+to[i]+".weight"] = t
			if biases[i] != nil {
				names[module+"."+to[i]+".bias"] = biases[i]
			}
		}
	}
	return names
}
