package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/teach"
	"github.com/vggse/vggse-agent/vision"
)

// The measurement of teach: a network of the first labels of the demo is taught the others.
const (
	knownLabels   = 8
	scikitDraws   = 3  // that scikit-learn fits, too
	storedOfLabel = 50 // features of each old label that stand for its pictures
	testOfLabel   = 300
)

// mayLose are shares of the old labels' pictures that may be lost to new ones: as many as it takes to
// answer best, and the bars with and without pictures of the old labels.
var mayLose = []float64{1, 0.005, 0.01}

// teachSizes are pictures of each label.
var teachSizes = []int{5, 10, 20, 50}

// teachSets are the pictures, by what is done with them; each has a seed of its own.
var teachSets = []struct {
	name    string
	n, seed int
	views   bool
}{
	{"train", 19_500, 401, false}, // the network learns from those of the first labels
	{"test", 13_000, 402, false},  // judged by the first of each label; the others are for oracle.py
	{"pool", 2600, 403, true},     // draws are taken from it
	{"calib", 1300, 404, false},
}

// denseMost are the pictures that suffice for a network of which only the dense layers learn.
var denseMost = map[string]int{"train": 9750, "test": 3900, "pool": 2600, "calib": 1300}

// teachFolder is where pictures and features are, in the scratch folder.
func (o *options) teachFolder(name string) string {
	if o.dense {
		return filepath.Join("teach-dense", name)
	}
	return filepath.Join("teach", name)
}

// teaching is the network with the features of all pictures.
type teaching struct {
	dir               string
	old               *vision.Head
	pool, test, calib *featureSet
	threads           int
}

// teachInputs makes what is missing in the scratch folder: pictures, network, features.
func (o *options) teachInputs(ctx context.Context) (*teaching, error) {
	t := &teaching{dir: filepath.Join(o.scratch, o.teachFolder("")), threads: runtime.NumCPU()}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, err
	}
	for _, s := range teachSets {
		n := s.n
		if o.dense {
			n = min(n, denseMost[s.name])
		}
		if _, err := o.drawn(ctx, o.teachFolder(s.name), n, s.seed); err != nil {
			return nil, err
		}
	}
	if o.dense {
		return t, o.denseInputs(ctx, t)
	}
	network := filepath.Join(t.dir, "bundle")
	if err := o.backbone(ctx, t.dir, network); err != nil {
		return nil, err
	}
	sets := map[string]*featureSet{}
	for _, s := range teachSets[1:] {
		path := filepath.Join(t.dir, s.name+".safetensors")
		if _, err := os.Stat(path); err != nil {
			if err := command(ctx, o.agent, "features", network, "--images", filepath.Join(t.dir, s.name), "--out",
				path, "--provider", "cpu", "--views="+strconv.FormatBool(s.views)); err != nil {
				return nil, err
			}
		}
		var err error
		if sets[s.name], err = readFeatures(path); err != nil {
			return nil, err
		}
	}
	t.pool, t.calib = sets["pool"], sets["calib"]
	t.test = sets["test"].first(testOfLabel)
	var err error
	t.old, err = lastLayer(network)
	return t, err
}

// denseInputs makes the features of a network that bench/teach/dense.py trains, whose convolutions are the demo's.
func (o *options) denseInputs(ctx context.Context, t *teaching) error {
	if _, err := os.Stat(filepath.Join(t.dir, "layer.safetensors")); err != nil {
		if err := command(ctx, o.trainer, "bench/teach/dense.py", "make", o.demo, t.dir,
			strconv.Itoa(knownLabels)); err != nil {
			return err
		}
	}
	sets := map[string]*featureSet{}
	for _, name := range []string{"pool", "calib", "test", "layer"} {
		var err error
		if sets[name], err = readFeatures(filepath.Join(t.dir, name+".safetensors")); err != nil {
			return err
		}
	}
	t.pool, t.calib, t.test = sets["pool"], sets["calib"], sets["test"].first(testOfLabel)
	var weight, bias []float32
	for i := range sets["layer"].class { // of each label its weights, and its bias behind them
		row := sets["layer"].row(i)
		last := len(row) - 1
		weight, bias = append(weight, row[:last]...), append(bias, row[last])
	}
	var err error
	t.old, err = vision.NewHead(nil, weight, bias)
	return err
}

// backbone trains a network on the first labels and imports it, where the folder does not have it.
func (o *options) backbone(ctx context.Context, dir, network string) error {
	if _, err := os.Stat(network); err == nil {
		return nil
	}
	for _, set := range []string{"train", "test"} {
		part := filepath.Join(dir, set+"-known")
		if err := os.MkdirAll(part, 0o755); err != nil {
			return err
		}
		for _, l := range demo.Classes()[:knownLabels] {
			err := os.Symlink(filepath.Join("..", set, l), filepath.Join(part, l))
			if err != nil && !os.IsExist(err) {
				return err
			}
		}
	}
	net := filepath.Join(dir, "net")
	if err := command(ctx, o.trainer, "train/train.py", "--train", filepath.Join(dir, "train-known"), "--test",
		filepath.Join(dir, "test-known"), "--out", net, "--input", "64", "--early-input", "48", "--width", "0.25",
		"--hidden", "256", "--pool", "2", "--turns", "--batch-norm", "--dropout", "0.1", "--batch", "32",
		"--plain-epochs", "3", "--gate-epochs", "0.15", "--late-epochs", "0.3", "--all-epochs", "0.7", "--threads",
		"1"); err != nil {
		return err
	}
	return command(ctx, o.agent, "import", filepath.Join(net, "network.safetensors"), "--labels",
		filepath.Join(net, "labels.txt"), "--preprocess", "torchvision", "--input", "64", "--name", "parts8",
		"--version", "1.0", "--out", network)
}

// command runs a program; what it says is told where it fails.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

// lastLayer is the layer that teach replaces.
func lastLayer(dir string) (*vision.Head, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	if b.Spec.HasHead() {
		return infer.ReadHead(b)
	}
	return headOf(b)
}

// lesson is one head, for peer.py, too.
type lesson struct {
	Each        int       `json:"each"`
	Rows        []int     `json:"rows"` // of the pool
	Lambda      float64   `json:"lambda"`
	Temperature float64   `json:"temperature"`
	Mean        []float32 `json:"mean"`
	Weight      []float32 `json:"weight"` // of our regression
	Bias        []float32 `json:"bias"`
}

// scored are the shares of test pictures that are answered rightly, in percent.
type scored struct{ all, old, fresh, ece, leastECE []float64 }

func (s *scored) add(t *featureSet, h *vision.Head) {
	s.all = append(s.all, 100*t.accuracy(h, every).Value)
	s.old = append(s.old, 100*t.accuracy(h, old).Value)
	s.fresh = append(s.fresh, 100*t.accuracy(h, fresh).Value)
	s.ece = append(s.ece, 100*t.ece(h))
	s.leastECE = append(s.leastECE, 100*t.leastECE(h))
}

// draw takes pictures of each label of the pool.
func (t *teaching) draw(rng *rand.Rand, each int) []int {
	var rows []int
	for _, of := range t.pool.rowsOf() {
		for _, k := range rng.Perm(len(of))[:each] {
			rows = append(rows, of[k])
		}
	}
	return rows
}

// samples are the rows of the pool that want asks for.
func (t *teaching) samples(rows []int, want func(class int) bool) []teach.Sample {
	var out []teach.Sample
	for _, i := range rows {
		if c := t.pool.class[i]; want(c) {
			out = append(out, teach.Sample{Class: c, Views: t.pool.views[i]})
		}
	}
	return out
}

// stored are features that a calibrated bundle keeps of its labels.
func (t *teaching) stored() []teach.Sample {
	var out []teach.Sample
	for c, of := range t.calib.rowsOf()[:knownLabels] {
		for _, i := range of[:min(len(of), storedOfLabel)] {
			out = append(out, teach.Sample{Class: c, Views: t.calib.views[i]})
		}
	}
	return out
}

// sizeResult is what came out with some pictures of each label: of ours and without, which has stored
// features in place of the old labels' pictures, for each of mayLose.
type sizeResult struct {
	ours, without []scored
	plain         scored
	alone         scored // of the pictures alone, without stored features
	seconds       []float64
	methods       map[string]int
	lessons       []lesson
}

// measure fits heads to draws of each pictures a label.
func (t *teaching) measure(ctx context.Context, each, draws int) (*sizeResult, error) {
	m := &sizeResult{methods: map[string]int{}, ours: make([]scored, len(mayLose)),
		without: make([]scored, len(mayLose))}
	for draw := range draws {
		rows := t.draw(rand.New(rand.NewPCG(uint64(each), uint64(draw))), each)
		begin, witnesses := time.Now(), t.stored()
		for i := range witnesses {
			witnesses[i].Witness = true
		}
		if err := t.learn(ctx, append(witnesses, t.samples(rows, every)...), m.ours, m.methods); err != nil {
			return nil, err
		}
		m.seconds = append(m.seconds, time.Since(begin).Seconds())
		alone, err := teach.Learn(ctx, t.samples(rows, every), len(t.pool.labels), t.old,
			teach.Choice{MayLose: mayLose[:1], Workers: t.threads})
		if err != nil {
			return nil, err
		}
		m.alone.add(t.test, alone[0].Head)
		if err := t.learn(ctx, append(t.stored(), t.samples(rows, fresh)...), m.without, map[string]int{}); err != nil {
			return nil, err
		}
		l := lesson{Each: each, Rows: rows}
		if draw < scikitDraws {
			all, err := teach.Learn(ctx, t.samples(rows, every), len(t.pool.labels), t.old,
				teach.Choice{Method: teach.MethodRegression, MayLose: mayLose[:1], Workers: t.threads})
			if err != nil {
				return nil, err
			}
			f := all[0]
			m.plain.add(t.test, f.Head)
			l = lesson{each, rows, f.Lambda, f.Temperature, f.Head.Mean, f.Head.Weight, f.Head.Bias}
		}
		m.lessons = append(m.lessons, l)
	}
	return m, nil
}

// learn fits a head for each of mayLose and adds what they reach.
func (t *teaching) learn(ctx context.Context, samples []teach.Sample, to []scored, methods map[string]int) error {
	all, err := teach.Learn(ctx, samples, len(t.pool.labels), t.old, teach.Choice{MayLose: mayLose, Workers: t.threads})
	for i, f := range all {
		to[i].add(t.test, f.Head)
	}
	if err == nil {
		methods[all[0].Method]++
	}
	return err
}

// peerScores is what peer.py says of one lesson: shares in percent, and how far scikit-learn's
// coefficients are from ours.
type peerScores struct {
	Frigate, FrigateViews, Scikit struct{ All, Old, Fresh float64 }
	Apart                         float64
}

// peers has peer.py fit the others' heads to the same features.
func (o *options) peers(ctx context.Context, t *teaching, lessons []lesson) ([]peerScores, error) {
	asked, said := filepath.Join(t.dir, fmt.Sprintf("lessons-%d.json", lessons[0].Each)),
		filepath.Join(t.dir, fmt.Sprintf("peers-%d.json", lessons[0].Each))
	if err := atomicfile.WriteJSON(asked, lessons); err != nil {
		return nil, err
	}
	if err := command(ctx, o.trainer, "bench/teach/peer.py", "heads", t.pool.path, t.test.path, asked, said,
		strconv.Itoa(knownLabels), strconv.Itoa(testOfLabel)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(said)
	if err != nil {
		return nil, err
	}
	var out []peerScores
	return out, json.Unmarshal(text, &out)
}
