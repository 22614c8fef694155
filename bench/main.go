// Command bench measures the agent against the bare runtime and against a straightforward Python
// script, interleaved in one run, and writes what it found to bench/results/. `make bench` runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/infer"
)

type options struct {
	full, demo    string // bundles
	agent, python string // programs
	before        string // another agent, for calibrate
	engines       string // a Python that has bench/peer/requirements-engines.txt
	trainer       string // a Python that has train/requirements.txt, those of bench/teach and bench/prune
	scratch       string // folder for videos and made-up bundles
	results       string // folder for the report
	models        string // folder of .onnx files, for int8-world
	pairs         int
	threads       int
	seconds       float64
	age           float64
	draws, each   int
	dense         bool
}

func main() {
	if worker.Asked(os.Args) { // a camera of a measurement
		os.Exit(worker.Main())
	}
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var o options
	flag.StringVar(&o.full, "full", "", "full-size bundle; empty: one with random weights is made")
	flag.StringVar(&o.demo, "demo", "demo/bundle", "demo bundle")
	flag.StringVar(&o.agent, "agent", "bin/vggse-agent", "the agent's binary")
	flag.StringVar(&o.before, "before", "", "another agent's binary, run in turn with -agent, for calibrate")
	flag.StringVar(&o.python, "python", "build/bench/venv/bin/python", "a Python that has bench/peer/requirements.txt")
	flag.StringVar(&o.trainer, "trainer", "build/train/bin/python",
		"a Python that has train/requirements.txt and those of bench/teach and bench/prune, for teach and prune")
	flag.StringVar(&o.engines, "engines", "build/bench/engines/bin/python",
		"a Python that has bench/peer/requirements-engines.txt, for engines")
	flag.StringVar(&o.scratch, "scratch", "build/bench", "folder for videos and bundles")
	flag.StringVar(&o.results, "results", "bench/results", "folder for the report")
	flag.StringVar(&o.models, "models", "build/bench/exports",
		"folder of .onnx files for int8-world and int8-trained; bench/world/exports.py and train.py make them")
	flag.IntVar(&o.pairs, "pairs", 10, "interleaved pairs of each comparison")
	flag.IntVar(&o.threads, "threads", 0, "of bare")
	flag.Float64Var(&o.seconds, "seconds", 2,
		"length of one run with the demo network; the full-size one gets three times that")
	flag.Float64Var(&o.age, "age", 60, "seconds for which the age of frames is watched")
	flag.IntVar(&o.each, "each", 0, "pictures of each label, of teach; 0: 5, 10, 20 and 50")
	flag.BoolVar(&o.dense, "dense", false,
		"the demo's convolutions with dense layers that know the first labels, in minutes, for teach")
	flag.IntVar(&o.draws, "draws", 20, "draws of pictures for each size, of teach")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: bench [flags] %s | bare BUNDLE\n",
			strings.Join(o.names(), " | "))
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch what := flag.Arg(0); what {
	case "bare":
		err = runBare(flag.Arg(1), o.threads)
	case "answers":
		err = runAnswers(ctx, flag.Args()[1:])
	default:
		if !slices.Contains(o.names(), what) {
			flag.Usage()
			os.Exit(2)
		}
		err = o.report(ctx, what)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// part is one benchmark. Its group is what runs it together with others: all is what make bench runs
// by itself; "" is for a name alone.
type part struct {
	name, group string
	do          func(context.Context, *report) error
}

func (o *options) parts() []part {
	return []part{
		{"ring", "all", o.ringReport},
		{"peer", "all", o.peerReport},
		{"trouble", "all", o.troubleReport},
		{"cameras", "all", o.camerasReport},
		{"int8-accuracy", "int8", o.accuracyReport},
		{"int8-speed", "int8", o.int8SpeedReport},
		{"int8-peer", "int8", o.quantizeReport},
		{"calibrate-demo", "calibrate", o.calibrateDemo},
		{"calibrate-small", "calibrate", o.calibrateSmall},
		{"calibrate-full", "calibrate", o.calibrateFull},
		{"int8-world", "", o.worldReport},
		{"int8-trained", "", o.trainedReport},
		{"teach", "", o.teachReport},
		{"teach-cost", "", o.teachCost},
		{"prune", "", o.pruneReport},
		{"engines", "", o.enginesReport},
		{"release", "", o.sizesReport},
		{"pull", "", o.pullReport},
		{"signals", "", o.signalsReport},
	}
}

// withoutFull are the parts that have no use for a full-size bundle.
var withoutFull = []string{"int8-world", "int8-trained", "teach", "teach-cost", "prune"}

// names are the parts and groups that can be asked for.
func (o *options) names() (names []string) {
	for _, p := range o.parts() {
		for _, n := range []string{p.name, p.group} {
			if n != "" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// report makes what is missing, measures, and writes the report.
func (o *options) report(ctx context.Context, what string) error {
	if err := os.MkdirAll(o.scratch, 0o755); err != nil {
		return err
	}
	if o.full == "" && !slices.Contains(withoutFull, what) {
		o.full = filepath.Join(o.scratch, "full")
		if err := o.made(ctx, o.full); err != nil {
			return err
		}
	}
	r := newReport(what, o)
	for _, part := range o.parts() {
		if what == part.name || what == part.group {
			if err := part.do(ctx, r); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(o.results, time.Now().UTC().Format("2006-01-02-1504")+"-"+what+".md")
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, r.text.Bytes(), 0o644); err != nil {
		return err
	}
	os.Stdout.Write(r.text.Bytes())
	log.Printf("written to %s", path)
	return nil
}

// made sees that there is a bundle in dir, with random weights where one has to be made.
func (o *options) made(ctx context.Context, dir string, args ...string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, o.agent, append([]string{"new", "--out", dir}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s new: %w\n%s", o.agent, err, out)
	}
	return nil
}

// runBare loads a bundle's network with nothing around it, prints a byte after the first run, and
// then how many runs a second it makes.
func runBare(bundleDir string, threads int) error {
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return err
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath((&infer.Config{}).Candidates()[0])
	if err := ort.InitializeEnvironment(); err != nil {
		return err
	}
	s, err := openBare(path, &b.Spec, threads)
	if err != nil {
		return err
	}
	if err := s.session.Run(); err != nil {
		return err
	}
	fmt.Print("\n")
	length := 2 * time.Second
	if _, err := s.loop(length / 4); err != nil {
		return err
	}
	took, err := s.loop(length)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(struct{ Rate float64 }{1000 / mean(took)})
}
