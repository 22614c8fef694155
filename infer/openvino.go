package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/cpu"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// openVINOOptions is the map for the OpenVINO provider: the processor, one stream, and the
// precision of the file. Without the hint OpenVINO runs FP32 files as bfloat16 where the processor
// can. A fixed shape is faster than a symbolic one, so for single pictures it is given.
func openVINOOptions(net *ModelFile, batch, threads int) map[string]string {
	precision := "f32"
	if net.Precision == "bf16" {
		precision = "bf16"
	}
	o := map[string]string{
		"device_type":    "CPU",
		"num_of_threads": strconv.Itoa(threads),
		"num_streams":    "1",
		"load_config":    `{"CPU":{"PERFORMANCE_HINT":"LATENCY","INFERENCE_PRECISION_HINT":"` + precision + `"}}`,
	}
	if batch <= 1 {
		o["reshape_input"] = fmt.Sprintf("%s[1,3,%d,%[2]d]", net.Input, net.Size)
	}
	return o
}

func appendOpenVINO(so *ort.SessionOptions, own map[string]string) error {
	// OpenVINO optimizes by itself, and ONNX Runtime's fused operators are foreign to it.
	if err := so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
		return err
	}
	return ownSignalStack(func() error { return so.AppendExecutionProviderOpenVINO(own) })
}

// hasBFloat16 tells whether the processor multiplies bfloat16 by itself.
func hasBFloat16() bool { return cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16 }

// processor is the name that the machine gives its processor; "": it gives none.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, " \t:")
}

// hasProvider tells whether the library of a provider lies beside the ONNX Runtime at library.
func hasProvider(library, provider string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(library), providerFile(provider)))
	return err == nil
}

// Race is how long one run took on two providers that were asked in turn, as a median.
type Race struct {
	Own   time.Duration `json:"own_ns"`
	Rival time.Duration `json:"rival_ns"` // on the CPU provider, with the file that suits it
}

// raceFile is in an entry of the cache whose job had a rival.
const raceFile = "race.json"

// worthwhile is the part of the rival's time that OpenVINO may take at most to be chosen: it costs
// memory, and on another day the two may be the other way round.
const worthwhile = 0.95

// lost is the reason not to use a provider that a race was held for; nil: it won.
func (r *Race) lost(provider string) error {
	if float64(r.Own) <= worthwhile*float64(r.Rival) {
		return nil
	}
	return fmt.Errorf("measured here, %s takes %.3g ms a picture and the cpu provider %.3g: name it in "+
		"infer.providers to use it all the same", provider, milliseconds(r.Own), milliseconds(r.Rival))
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

const (
	raceLength = 2 * time.Second // of runs; warming up not counted
	mostRounds = 200
	fewRounds  = 5 // rounds that are run, however long they take
)

// race runs job's network and its rival in turn, single pictures of noise, and writes the medians
// into the job's folder.
func race(ctx context.Context, c *Config, job *Job, library string) (err error) {
	var racers []*session
	defer func() {
		for _, s := range racers {
			err = errors.Join(err, s.close())
		}
	}()
	for _, r := range []struct {
		provider string
		net      *ModelFile
	}{{job.Provider, &job.Network}, {CPU, job.Rival}} {
		s, err := racer(c, r.provider, library, r.net)
		if err != nil {
			return err
		}
		racers = append(racers, s)
	}
	times, err := takeTurns(ctx, racers)
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(job.Dir, raceFile), Race{Own: median(times[0]), Rival: median(times[1])})
}

// racer is a session for single pictures, with one of noise in it.
func racer(c *Config, provider, library string, net *ModelFile) (*session, error) {
	own := *c
	own.Providers = []string{provider}
	so, err := sessionOptions(provider, &own, settingsFor(provider, library, net, 1, threads(c), ""))
	if err != nil {
		return nil, providerSays(err)
	}
	defer so.Destroy()
	s, err := newSession(so, net, 1, outputsOf(net, 1))
	if err != nil {
		return nil, explain(err, net, 1)
	}
	copy(s.input, noise(1, net.Size).Data)
	return s, nil
}

// takeTurns runs each session once before it counts, then one after the other until raceLength is
// over.
func takeTurns(ctx context.Context, sessions []*session) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(sessions))
	begin := time.Now()
	for round := -1; round < mostRounds && (round < fewRounds || time.Since(begin) < raceLength); round++ {
		if round == 0 {
			begin = time.Now()
		}
		for i, s := range sessions {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := time.Now()
			if err := s.run(1); err != nil {
				return nil, oneLine(err)
			}
			if round >= 0 {
				times[i] = append(times[i], time.Since(start))
			}
		}
	}
	return times, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// readRace reads what race wrote into an entry of the cache.
func readRace(dir string) (*Race, error) {
	r := new(Race)
	text, err := os.ReadFile(filepath.Join(dir, raceFile))
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("cache_dir: %s: %w", raceFile, err)
	}
	return r, nil
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.WriteFileMode(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
