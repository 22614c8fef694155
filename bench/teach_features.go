package main

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// featureSet is a file of 'vggse-agent features' whose labels are those of the demo.
type featureSet struct {
	path   string
	views  [][][]float32 // picture, view, feature
	class  []int
	labels []string
}

// row is the picture as it is.
func (s *featureSet) row(i int) []float32 { return s.views[i][0] }

// readFeatures reads a file of features whose labels are those of the demo.
func readFeatures(path string) (*featureSet, error) {
	f, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tensor := f.Tensor("views")
	if tensor == nil {
		tensor = f.Tensor("features")
	}
	if tensor == nil {
		return nil, fmt.Errorf("%s holds no features", path)
	}
	all, err := tensor.Float32s()
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal([]byte(f.Metadata["labels"]), &names); err != nil {
		return nil, err
	}
	s := &featureSet{path: path, labels: demo.Classes()}
	place := map[string]int{}
	for i, l := range s.labels {
		place[l] = i
	}
	width := int(tensor.Shape[len(tensor.Shape)-1])
	looks := len(all) / width / len(names)
	for i, name := range names {
		views := make([][]float32, looks)
		for k := range views {
			views[k] = all[(i*looks+k)*width:][:width]
		}
		s.views, s.class = append(s.views, views), append(s.class, place[name])
	}
	return s, nil
}

// first are the first few pictures of each label.
func (s *featureSet) first(n int) *featureSet {
	part, taken := &featureSet{path: s.path, labels: s.labels}, make([]int, len(s.labels))
	for i, c := range s.class {
		if taken[c]++; taken[c] <= n {
			part.views, part.class = append(part.views, s.views[i]), append(part.class, c)
		}
	}
	return part
}

// rowsOf are the places of the pictures of each label.
func (s *featureSet) rowsOf() [][]int {
	rows := make([][]int, len(s.labels))
	for i, c := range s.class {
		rows[c] = append(rows[c], i)
	}
	return rows
}

// accuracy is how many of the pictures that want are answered rightly, and how many there are.
func (s *featureSet) accuracy(h *vision.Head, want func(class int) bool) eval.Share {
	logits := make(vision.Logits, h.Classes())
	right, n := 0, 0
	for i, c := range s.class {
		if !want(c) {
			continue
		}
		h.Apply(s.row(i), logits)
		if n++; best(logits) == c {
			right++
		}
	}
	return eval.NewShare(right, n)
}

// ece is the expected calibration error in 15 bins.
func (s *featureSet) ece(h *vision.Head) float64 { return s.eceAt(h, 1) }

// leastECE is what the temperature would reach that the pictures themselves ask for.
func (s *featureSet) leastECE(h *vision.Head) float64 {
	least := math.Inf(1)
	for step := -20; step <= 20; step++ { // from 0.25 to 4
		least = min(least, s.eceAt(h, math.Exp2(float64(step)/10)))
	}
	return least
}

// eceAt is the same of logits that are divided by a temperature first.
func (s *featureSet) eceAt(h *vision.Head, temperature float64) float64 {
	var sum, right [15]float64
	logits := make(vision.Logits, h.Classes())
	for i, c := range s.class {
		h.Apply(s.row(i), logits)
		for k := range logits {
			logits[k] /= float32(temperature)
		}
		vision.Softmax(logits, logits)
		top := best(logits)
		bin := min(14, int(15*logits[top]))
		sum[bin] += float64(logits[top])
		if top == c {
			right[bin]++
		}
	}
	e := 0.0
	for b := range sum {
		e += math.Abs(sum[b]-right[b]) / float64(len(s.class))
	}
	return e
}

func best(v []float32) int {
	top := 0
	for i, x := range v {
		if x > v[top] {
			top = i
		}
	}
	return top
}

func old(class int) bool   { return class < knownLabels }
func fresh(class int) bool { return class >= knownLabels }
func every(int) bool       { return true }
