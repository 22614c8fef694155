package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// pairs makes bundles in a folder and hands each to every verb that takes one.
type pairs struct {
	t        *testing.T
	dir      string
	pictures []string // ordered by what they show
	refused  map[string]bool
}

// newPairs has pictures, and a key to sign with.
func newPairs(t *testing.T) *pairs {
	t.Helper()
	p := &pairs{t: t, dir: t.TempDir(), refused: map[string]bool{}}
	mustAgent(t, "demo-data", "--out", p.in("pictures"), "--n", "52", "--seed", "5")
	pictures, err := filepath.Glob(p.in("pictures") + "/*/*.png")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	p.pictures = pictures
	mustAgent(t, "release", "keygen", "--out", p.in("k"), "--no-password")
	return p
}

func (p *pairs) in(name string) string { return filepath.Join(p.dir, name) }

// refusal is a pair of a bundle and a verb that cannot be: the names of both, what is said, and why
// it is right.
type refusal struct{ bundle, verb, sentence, why string }

// refusals are all pairs that are refused.
var refusals = []refusal{
	{".*", "build", "tensorrt", "this machine has no TensorRT"},
	{".*", "inspect", "is a bundle: 'vggse-agent summary", "inspect shows one file, summary a bundle"},
	{"foreign|foreign-int8", "prune", `architecture\.family is "onnx"`, "channels are taken out of VGGs only"},
	{".*-taught", "calibrate", "calibrate the bundle that it was taught from, then teach that",
		"the taught layer stands behind the network, which has to be made INT8 before it is taught"},
	{".*-taught", "prune", "prune the bundle that it was taught from", "what teach reads changes with each channel"},
}

// try runs a verb on a bundle: accepted, or refused as the list says.
func (p *pairs) try(bundle, verb string, args ...string) (stdout string, ok bool) {
	p.t.Helper()
	code, stdout, stderr := agentCmd(p.t, append(strings.Fields(verb), args...)...)
	for _, r := range refusals {
		if r.verb != verb || !regexp.MustCompile("^("+r.bundle+")$").MatchString(bundle) {
			continue
		}
		p.refused[r.bundle+r.verb] = true
		sentence := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
		if code == exitDone || code == exitUsage || !regexp.MustCompile(r.sentence).MatchString(sentence) {
			p.t.Errorf("%s %s: exit %d, %s; want a refusal: %s (%s)", verb, bundle, code, stderr, r.sentence, r.why)
		}
		return "", false
	}
	if code != exitDone {
		p.t.Errorf("%s %s: %q: exit %d, %s", verb, bundle, args, code, stderr)
	}
	return stdout, code == exitDone
}

// labelled is a folder with pictures for each label of a bundle.
func (p *pairs) labelled(bundle string) string {
	p.t.Helper()
	dir := p.in("of-" + bundle)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	_, stdout, stderr := agentCmd(p.t, "classify", "--bundle", p.in(bundle), "--top", "100", "--json", p.pictures[0])
	var line struct {
		Top []struct {
			Label string `json:"label"`
			Index int    `json:"index"`
		} `json:"top"`
	}
	if err := json.Unmarshal([]byte(stdout), &line); err != nil {
		p.t.Fatalf("%s: %v: %s", bundle, err, stderr)
	}
	for _, c := range line.Top {
		to := filepath.Join(dir, c.Label)
		if err := os.MkdirAll(to, 0o755); err != nil {
			p.t.Fatal(err)
		}
		for i, from := range p.pictures {
			if i*len(line.Top)/len(p.pictures) != c.Index {
				continue
			}
			if err := os.Symlink(from, filepath.Join(to, fmt.Sprintf("%d.png", i))); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return dir
}

// calibrate, prune and teach make out of one bundle another, without measuring time.
func (p *pairs) calibrate(from, out string, options ...string) bool {
	p.t.Helper()
	args := []string{"--bundle", p.in(from), "--images", p.labelled(from), "--out", p.in(out), "--seconds", "0",
		"--min-agreement", "0"}
	_, ok := p.try(from, "calibrate", append(args, options...)...)
	return ok
}

func (p *pairs) prune(from, out string, howMuch ...string) bool {
	p.t.Helper()
	_, ok := p.try(from, "prune", append(howMuch, p.in(from), "--images", p.labelled(from), "--seconds", "0.01",
		"--out", p.in(out))...)
	return ok
}

func (p *pairs) teach(from, out string, options ...string) bool {
	p.t.Helper()
	_, ok := p.try(from, "teach", append([]string{p.in(from), "--images", p.labelled(from), "--out", p.in(out)},
		append(options, "--old-may-lose", "100")...)...)
	return ok
}

// look hands a bundle to the verbs that leave nothing behind.
func (p *pairs) look(name string) {
	p.t.Helper()
	b, picture := p.in(name), p.pictures[0]
	for _, precision := range []string{"fp32", "auto"} {
		p.try(name, "verify", b, "--precision", precision)
		p.try(name, "classify", "--bundle", b, "--precision", precision, picture)
		p.try(name, "evaluate", b, "--precision", precision, "--images", p.labelled(name))
	}
	p.try(name, "bench", b, "--provider", "cpu", "--seconds", "0.01")
	p.try(name, "evaluate", b, "--images", p.labelled(name), "--against", p.in("new"))
	p.try(name, "compare", b, picture)
	p.try(name, "summary", b)
	p.try(name, "inspect", b)
	p.try(name, "features", b, "--images", p.labelled(name), "--out", p.in(name+".features.safetensors"))
	p.try(name, "build", b)
	p.try(name, "run", "--config", os.DevNull, "--bundle", b, "--source",
		"file://"+filepath.Dir(p.pictures[0])+"?speed=max",
		"--broker", "tcp://127.0.0.1:9", "--set", "state_dir="+p.in("run-"+name), "--set", "http.listen=off",
		"--log-level", "error")
}

// carry brings a bundle to a device in each way that there is, and activates it there.
func (p *pairs) carry(name string) {
	p.t.Helper()
	state := "state_dir=" + p.in("state")
	p.try(name, "bundle pack", p.in(name), "--out", p.in(name+".vggse"))
	p.try(name, "model install", "--set", state, p.in(name+".vggse"))
	installed, _ := p.try(name, "model install", "--set", state, p.in(name), "--json")
	var line modelLine
	if err := json.Unmarshal([]byte(installed), &line); err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	p.try(name, "model activate", "--set", state, line.SHA256)

	device := []string{"--set", "state_dir=" + p.in("pulled-"+name), "--set", "model.trust=" + p.dir}
	p.try(name, "release sign", p.in(name), "--release", "1", "--key", p.in("k.key"))
	p.try(name, "release push", p.in(name), p.in("place-"+name))
	p.try(name, "release pull", append(device, p.in("place-"+name), "--activate")...)
	p.try(name, "classify", append(device, p.pictures[0])...)
	pulled, _ := filepath.Glob(p.in("pulled-" + name + "/models/*/model.yaml"))
	if len(pulled) != 1 {
		p.t.Fatalf("%s: pulled are %v", name, pulled)
	}
	p.try(name, "verify", filepath.Dir(pulled[0]))
}

// make makes out of a bundle what each verb makes of it that makes one.
func (p *pairs) make(from string, goldens string) (made []string) {
	p.t.Helper()
	keep := func(name string, ok bool) {
		if ok {
			made = append(made, name)
		}
	}
	out := from + "-int8"
	keep(out, p.calibrate(from, out, "--method", "minmax", "--budget", "none", "--goldens", goldens))
	out = from + "-pruned"
	keep(out, p.prune(from, out, "--target", "1.05x"))
	out = from + "-taught"
	keep(out, p.teach(from, out))
	return made
}

// sigmoid writes a network of another file with a sigmoid behind its scores.
func sigmoid(t *testing.T, from, to string) {
	t.Helper()
	m, err := onnx.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out := &m.Graph.Outputs[0]
	m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{OpType: "Sigmoid", Inputs: []string{out.Name},
		Outputs: []string{"probabilities"}})
	out.Name = "probabilities"
	file, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := onnx.Write(file, m); err != nil {
		t.Fatal(err)
	}
}

// TestEveryBundleIsAcceptedByEveryVerb makes a bundle with each verb that makes one, out of each kind
// of network, hands what comes of the first kind to each of these verbs again, and all to each verb
// that takes one.
func TestEveryBundleIsAcceptedByEveryVerb(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many bundles")
	}
	p := newPairs(t)
	mustAgent(t, "new", "--out", p.in("new"), "--classes", "3", "--width", "0.0625", "--hidden", "16", "--input", "32",
		"--pool", "1")
	mustAgent(t, "import", "../../vgg16se/testdata/article.pth", "--labels", "a,b,c,d,e", "--input", "32", "--out",
		p.in("checkpoint"), "--preprocess", "torchvision")
	mustAgent(t, "import", "../../importer/testdata/foreign/se-resnet.legacy.onnx", "--labels", "a,b,c,d", "--out",
		p.in("foreign"), "--preprocess", "torchvision")
	made := []string{"new", "checkpoint", "foreign"}
	goldens := []string{"pictures", "none"}
	for i, from := range made {
		made = append(made, p.make(from, goldens[i%2])...)
	}
	for i, from := range made[3:] {
		if strings.HasPrefix(from, "new-") {
			made = append(made, p.make(from, goldens[i%2])...)
		}
	}
	for _, name := range made {
		p.look(name)
		p.carry(name)
	}
	for _, r := range refusals {
		if !p.refused[r.bundle+r.verb] {
			t.Errorf("%s is refused for %s by nobody: strike it", r.verb, r.bundle)
		}
	}
	t.Logf("%d bundles: %v", len(made), made)
}

// TestBundlesOfOtherOrigins: what else a bundle is made of, and by which other choices, is verified, classifies and
// is carried like the others.
func TestBundlesOfOtherOrigins(t *testing.T) {
	p := newPairs(t)
	mustAgent(t, "new", "--out", p.in("new"), "--classes", "3", "--width", "0.0625", "--hidden", "16", "--input", "32",
		"--pool", "1")
	mustAgent(t, "import", "../../vgg16se/testdata/article.safetensors", "--labels", "a,b,c,d,e", "--input", "32",
		"--out", p.in("safetensors"), "--preprocess", "torchvision")
	sigmoid(t, "../../importer/testdata/foreign/se-resnet.legacy.onnx", p.in("sigmoid.onnx"))
	mustAgent(t, "import", p.in("sigmoid.onnx"), "--labels", "a,b,c,d", "--out", p.in("sigmoid"), "--preprocess",
		"torchvision")
	made := []string{"safetensors", "sigmoid"}
	if p.prune("new", "new-budgeted", "--budget", "100pt") {
		made = append(made, "new-budgeted")
	}
	if p.calibrate("sigmoid", "sigmoid-int8", "--method", "minmax", "--budget", "none") {
		made = append(made, "sigmoid-int8")
	}
	for _, name := range made {
		p.try(name, "verify", p.in(name))
		p.try(name, "classify", "--bundle", p.in(name), p.pictures[0])
		p.carry(name)
	}
	if len(made) != 4 {
		t.Errorf("made are %v", made)
	}
}
