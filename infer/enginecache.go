package infer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// Engines is the cache of what a GPU provider makes of a network before it runs: TensorRT's engine,
// and which provider runs each node. ONNX Runtime's own cache goes by file name and shapes and
// hands a retrained model the engine of the one before (microsoft/onnxruntime issues 6455 and
// 32254); here an entry belongs to the digest of the model file, the versions, the GPU, the
// precision and the options.
//
// An engine is code. Each file of an entry is pinned by its SHA-256 in the state folder, and one
// that differs is deleted and made again, never loaded. Several processes may use the cache at
// once.
type Engines struct {
	Cache string // folder of the entries, engines/ in cache_dir; entries are for the owner alone
	State string // folder with the pins, state_dir
	Keep  int    // most entries; 0: 8
	Bytes int64  // most bytes of all entries; 0: 4 GiB

	// Prepare fills the folder of a job, in a process of its own where possible; nil: Prepare of
	// this package.
	Prepare func(context.Context, Job) error
	// Tell hears of a build when it begins, and when it ended; nil: nobody. It must not wait.
	Tell func(Building)

	free func(dir string) (uint64, error) // bytes that may still be written; nil: the file system's
}

// Building is the state of a build.
type Building struct {
	Provider, Precision string
	SHA256              string // of the model file
	Done                bool
	Last                time.Duration // how long the last build for this network took; 0: unknown
	Took                time.Duration // where it is done
	Err                 error         // where it is done and failed
	Why                 string        // it is made: one phrase
}

// Job is what Prepare is asked to do. It travels to another process as JSON.
type Job struct {
	Provider string
	Network  ModelFile
	Rival    *ModelFile // what the CPU provider would run; not nil: it is measured which is faster
	Library  string     // path of the ONNX Runtime
	Threads  int
	Batch    int    // most pictures in one run
	Dir      string // empty folder to fill
}

// entry names one engine.
type entry struct{ model, variant string }

func (e entry) String() string { return e.model + "/" + e.variant }

// unfit are the characters that do not go into the name of a folder.
var unfit = regexp.MustCompile(`[^A-Za-z0-9._+-]+`)

// entryFor is the place of a network's engine: sha256/ORT-TensorRT-GPU-precision-options.
func entryFor(provider, sum, ort string, f gpuFacts, precision string, options map[string]string) entry {
	known := func(v string) string {
		if v == "" {
			return "unknown"
		}
		return v
	}
	runtime := provider
	if provider == TensorRT {
		runtime = "trt" + known(f.TensorRT)
	}
	digest := sha256.Sum256([]byte(digestible(options)))
	parts := []string{ort, runtime, known(f.Arch), known(precision), hex.EncodeToString(digest[:4])}
	return entry{sum, unfit.ReplaceAllString(strings.Join(parts, "-"), "_")}
}

// placementFile is in every entry.
const placementFile = "placement.json"

// pin is what the state folder knows of an entry.
type pin struct {
	Files   map[string]string `json:"files"` // SHA-256 by name
	Seconds float64           `json:"seconds"`
}

// ready returns the folder of the entry, which is made now where it is not there or not what it
// was.
func (c *Engines) ready(ctx context.Context, e entry, job Job) (dir string, err error) {
	// An engine is code, and whoever has the pins can pin another.
	for _, dir := range []string{c.Cache, c.State} {
		if err := account.NotForRoot(dir); err != nil {
			return "", err
		}
	}
	dir = filepath.Join(c.Cache, e.model, e.variant)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("cache_dir: %w", err)
	}
	why := c.check(ctx, e, dir)
	if why != "" {
		// One build at a time on the machine: two would not fit into the memory of a small one.
		unlock, err := filelock.Lock(ctx, c.lockPath(), 0o600)
		if err != nil {
			return "", fmt.Errorf("cache_dir: %w", err)
		}
		defer unlock()
		why = c.check(ctx, e, dir) // another start may have made it meanwhile
	}
	if why == "" {
		now := time.Now()
		_ = os.Chtimes(dir, now, now) // only the order of pruning depends on it
		return dir, nil
	}
	if err := errors.Join(os.RemoveAll(dir), ctx.Err()); err != nil {
		return "", fmt.Errorf("cache_dir: %w", err)
	}
	// A build may take an hour: the file must be the one that it will count for.
	sum, err := atomicfile.HashFile(ctx, job.Network.Path)
	if err != nil {
		return "", err
	}
	if sum != e.model {
		return "", wrong("%s has SHA-256 %.12s…, the manifest says %.12s…: the file was changed or damaged, copy "+
			"the bundle again", job.Network.Path, sum, e.model)
	}
	if err := c.make(ctx, e, dir, job, why); err != nil {
		return "", err
	}
	return dir, c.prune(e)
}

// check says why the entry cannot be used; "": it can.
func (c *Engines) check(ctx context.Context, e entry, dir string) string {
	pins, err := c.pins()
	if err != nil {
		return err.Error()
	}
	p, ok := pins[e.String()]
	if !ok {
		return "there is none yet"
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return "it is gone from the cache"
	}
	for _, f := range files {
		if _, ok := p.Files[f.Name()]; !ok {
			return f.Name() + " was not made by this agent"
		}
	}
	for name, want := range p.Files {
		if got, err := atomicfile.HashFile(ctx, filepath.Join(dir, name)); err != nil || got != want {
			return name + " is not the file that was made: it was changed or damaged"
		}
	}
	return ""
}

// make builds the entry aside and pins it.
func (c *Engines) make(ctx context.Context, e entry, dir string, job Job, why string) (err error) {
	aside := dir + ".building"
	if err := errors.Join(os.RemoveAll(aside), os.Mkdir(aside, 0o700)); err != nil {
		return fmt.Errorf("cache_dir: %w", err)
	}
	defer os.RemoveAll(aside)
	if err := c.room(job.Network.Path, aside); err != nil {
		return err
	}
	pins, _ := c.pins()
	b := Building{Provider: job.Provider, Precision: job.Network.Precision, SHA256: e.model, Why: why,
		Last: time.Duration(pins.last(e) * float64(time.Second))}
	begin := time.Now()
	c.tell(b)
	defer func() {
		b.Done, b.Took, b.Err = true, time.Since(begin), err
		c.tell(b)
	}()
	prepare := c.Prepare
	if prepare == nil {
		prepare = func(ctx context.Context, j Job) error { return Prepare(ctx, j, nil) }
	}
	job.Dir = aside
	if err := prepare(ctx, job); err != nil {
		return explainBuild(err, job.Rival != nil)
	}
	p := pin{Files: make(map[string]string), Seconds: time.Since(begin).Seconds()}
	if err := p.seal(ctx, aside); err != nil {
		return fmt.Errorf("cache_dir: %w", err)
	}
	if err := errors.Join(os.Rename(aside, dir), atomicfile.SyncDir(filepath.Dir(dir))); err != nil {
		return fmt.Errorf("cache_dir: %w", err)
	}
	return c.edit(func(pins pinned) { pins[e.String()] = p })
}

// room refuses to begin what could not be written down in the end.
func (c *Engines) room(network, dir string) error {
	info, err := os.Stat(network)
	if err != nil {
		return err
	}
	free := c.free
	if free == nil {
		free = freeBytes
	}
	have, err := free(dir)
	need := uint64(info.Size()) + 64<<20 // an engine is about as large as its network
	if err == nil && have < need {
		return fmt.Errorf("cache_dir: %d MiB are free, an engine needs about %d: free some space, or set cache_dir "+
			"to another disk", have>>20, need>>20)
	}
	return nil
}

func freeBytes(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

func (c *Engines) tell(b Building) {
	if c.Tell != nil {
		c.Tell(b)
	}
}

// seal makes the files in dir durable, for the owner alone, and takes down their digests.
func (p *pin) seal(ctx context.Context, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if !f.Type().IsRegular() {
			return fmt.Errorf("%s is no file", path)
		}
		if err := errors.Join(os.Chmod(path, 0o600), atomicfile.SyncDir(path)); err != nil {
			return err
		}
		if p.Files[f.Name()], err = atomicfile.HashFile(ctx, path); err != nil {
			return err
		}
	}
	if _, ok := p.Files[placementFile]; !ok {
		return fmt.Errorf("the build left no %s in %s", placementFile, dir)
	}
	return atomicfile.SyncDir(dir)
}

// forget removes an entry that turned out not to load.
func (c *Engines) forget(ctx context.Context, e entry) error {
	dir := filepath.Join(c.Cache, e.model, e.variant)
	unlock, err := filelock.Lock(ctx, c.lockPath(), 0o600)
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(os.RemoveAll(dir), c.edit(func(pins pinned) { delete(pins, e.String()) }))
}

// prune removes the entries used longest ago beyond Keep and Bytes, never the one in use.
func (c *Engines) prune(used entry) error {
	type old struct {
		entry entry
		time  time.Time
		bytes int64
	}
	var all []old
	var total int64
	dirs, _ := filepath.Glob(filepath.Join(c.Cache, "*", "*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		e := entry{filepath.Base(filepath.Dir(dir)), filepath.Base(dir)}
		if err != nil || !info.IsDir() || strings.HasSuffix(dir, ".building") {
			continue
		}
		o := old{e, info.ModTime(), 0}
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if info, err := f.Info(); err == nil {
				o.bytes += info.Size()
			}
		}
		total += o.bytes
		if e != used {
			all = append(all, o)
		}
	}
	keep, most := c.Keep, c.Bytes
	if keep == 0 {
		keep = 8
	}
	if most == 0 {
		most = 4 << 30
	}
	slices.SortFunc(all, func(a, b old) int { return a.time.Compare(b.time) })
	var gone []entry
	for len(all) > 0 && (len(all)+1 > keep || total > most) {
		gone, total = append(gone, all[0].entry), total-all[0].bytes
		all = all[1:]
	}
	var errs []error
	for _, e := range gone {
		dir := filepath.Join(c.Cache, e.model, e.variant)
		errs = append(errs, os.RemoveAll(dir))
		_ = os.Remove(filepath.Dir(dir)) // where it was the model's last
	}
	if len(gone) > 0 {
		errs = append(errs, c.edit(func(pins pinned) {
			for _, e := range gone {
				delete(pins, e.String())
			}
		}))
	}
	return errors.Join(errs...)
}

// pinned are the pins by the name of the entry.
type pinned map[string]pin

// last is how long the latest known build of a network of the same variant took, seconds.
func (p pinned) last(e entry) float64 {
	if known, ok := p[e.String()]; ok {
		return known.Seconds
	}
	for name, known := range p {
		if strings.HasSuffix(name, "/"+e.variant) {
			return known.Seconds
		}
	}
	return 0
}

func (c *Engines) lockPath() string { return filepath.Join(c.Cache, ".lock") }
func (c *Engines) pinFile() string  { return filepath.Join(c.State, "engines.json") }

// pins reads them; a file that cannot be understood pins nothing.
func (c *Engines) pins() (pinned, error) {
	text, err := os.ReadFile(c.pinFile())
	if errors.Is(err, fs.ErrNotExist) {
		return pinned{}, nil
	}
	if err != nil {
		return pinned{}, fmt.Errorf("its pin cannot be read: %w", err)
	}
	pins := pinned{}
	if err := json.Unmarshal(text, &pins); err != nil {
		return pinned{}, fmt.Errorf("%s is damaged, so that no engine can be trusted", c.pinFile())
	}
	return pins, nil
}

// edit changes the pins, and writes them whole or not at all.
func (c *Engines) edit(change func(pinned)) error {
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	unlock, err := filelock.Lock(context.Background(), c.pinFile()+".lock", 0o600)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	defer unlock()
	pins, _ := c.pins() // a damaged file is replaced
	change(pins)
	err = atomicfile.WriteFileMode(c.pinFile(), 0o600,
		func(w io.Writer) error { return json.NewEncoder(w).Encode(pins) })
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	return nil
}
