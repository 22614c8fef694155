package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Placement says which provider runs each node of a network, as a profile of one run has it.
type Placement struct {
	Nodes map[string]int `json:"nodes"`  // how many each provider runs, by our names; of TensorRT a whole engine is one
	OnCPU []string       `json:"on_cpu"` // names and operators of the nodes that another provider left to the CPU
}

// readPlacement reads what Prepare wrote into an entry of the cache.
func readPlacement(dir string) (*Placement, error) {
	text, err := os.ReadFile(filepath.Join(dir, placementFile))
	if err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	p := new(Placement)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("cache_dir: %s: %w", placementFile, err)
	}
	return p, nil
}

// ParseProfile reads a profile of ONNX Runtime of a network that was to run on the given provider.
func ParseProfile(profile []byte, provider string) (*Placement, error) {
	var events []struct {
		Category string `json:"cat"`
		Name     string `json:"name"`
		Args     struct {
			Provider string `json:"provider"`
			Operator string `json:"op_name"`
		} `json:"args"`
	}
	if err := json.Unmarshal(profile, &events); err != nil {
		return nil, fmt.Errorf("infer: profile: %w", err)
	}
	p := &Placement{Nodes: make(map[string]int)}
	seen := make(map[string]bool)
	for _, e := range events {
		if e.Category != "Node" || e.Args.Provider == "" || seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		ours, ok := known[e.Args.Provider]
		if !ok {
			ours = e.Args.Provider
		}
		p.Nodes[ours]++
		if ours == CPU && provider != CPU && !copies(e.Args.Operator) {
			node, _ := cutSuffixes(e.Name)
			p.OnCPU = append(p.OnCPU, fmt.Sprintf("%s (%s)", node, e.Args.Operator))
		}
	}
	if len(seen) == 0 {
		return nil, errors.New("infer: profile: it names no node: it is not of a run")
	}
	slices.Sort(p.OnCPU)
	return p, nil
}

// copies are operators that ONNX Runtime itself puts between providers.
func copies(operator string) bool { return operator == "MemcpyToHost" || operator == "MemcpyFromHost" }

// cutSuffixes takes from the name of an event what ONNX Runtime adds to the node's.
func cutSuffixes(event string) (node string, cut bool) {
	for _, s := range []string{"_kernel_time", "_fence_before", "_fence_after"} {
		if len(event) > len(s) && event[len(event)-len(s):] == s {
			return event[:len(event)-len(s)], true
		}
	}
	return event, false
}

// Place finds out which provider runs each node: one run with profiling, in a session of its own.
// engine is the folder of the provider's engine; "": none.
func Place(ctx context.Context, c Config, provider, engine string, net ModelFile) (_ *Placement, err error) {
	l, err := acquire(&c)
	if err != nil {
		return nil, fmt.Errorf("infer: place: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vggse-profile")
	if err != nil {
		return nil, fmt.Errorf("infer: place: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := profileOnce(&c, provider, engine, &net, l, filepath.Join(dir, "run")); err != nil {
		return nil, fmt.Errorf("infer: place: %w", oneLine(err))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "run*.json"))
	if len(files) != 1 {
		return nil, fmt.Errorf("infer: place: ONNX Runtime wrote %d profiles, one was wanted", len(files))
	}
	profile, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("infer: place: %w", err)
	}
	return ParseProfile(profile, provider)
}

// profileOnce writes the profile of one run to a file that begins with prefix.
func profileOnce(c *Config, provider, engine string, net *ModelFile, l *library, prefix string) (err error) {
	so, err := sessionOptions(provider, c, settingsFor(provider, l.path, net, max(c.MaxBatch, 1), threads(c), engine))
	if err != nil {
		return err
	}
	defer so.Destroy()
	if err := so.EnableProfiling(prefix); err != nil {
		return err
	}
	s, err := newSession(so, net, 1, outputsOf(net, 1))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }() // which writes the profile
	return s.run(1)
}
