package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// PullOptions say how a release is fetched.
type PullOptions struct {
	Store    *store.Store
	Rate     int64         // bytes a second, of all streams; 0: no limit
	Patience time.Duration // with a place that is away, while pieces are missing
	// Keep says which of the files with the given keys this device uses, and whatever else; goldens
	// and the last layer always come. nil: all.
	Keep func(keys []string) []string
	// Named are keys that must be in the release: somebody asked for them.
	Named []string
	Tell  func(Progress) // called from several goroutines; nil: nobody
	// Beside says that a network runs in this process, which the pull must not slow down: it takes no
	// more than a few percent of one core.
	Beside bool
}

// Progress is how far a pull is.
type Progress struct {
	State     string // StatePulling, StateWaiting or StateChecking
	Pieces    int    // that are missing at the beginning
	Bytes, Of int64  // fetched, and to fetch
	Waiting   error  // why nothing comes; nil: it does
}

// Values of Progress.State.
const (
	StateWaiting  = "waiting"
	StatePulling  = "pulling"
	StateChecking = "checking"
)

// Pulled is what a pull did.
type Pulled struct {
	store.Installed
	Fetched int64    // bytes that came from the place
	Reused  int64    // bytes of pieces that were on the device already
	Absent  []string // keys of the bundle's files that are not on this device
}

// Pull fetches what of the release is missing, installs the bundle and records that it was taken.
// What was fetched stays when it ends early, for the next time. The bundle then is installed
// complete or not at all.
func (r *Release) Pull(ctx context.Context, o PullOptions) (*Pulled, error) {
	p := &puller{Release: r, PullOptions: o, dir: filepath.Join(r.gate.StateDir, "pull")}
	done, err := p.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("release: pull %s: %w", r.Place, err)
	}
	return done, nil
}

// puller is one pull under way.
type puller struct {
	*Release
	PullOptions
	dir    string
	drop   []string // keys that the device does not want
	needed []ocispec.Descriptor
	local  map[digest.Digest]func() (io.ReadCloser, error) // pieces in installed bundles
	fetch  *fetcher
	slow   *pace // of the goroutine that runs it

	mu       sync.Mutex
	progress Progress
}

func (p *puller) run(ctx context.Context) (*Pulled, error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(p.dir, ".lock"), 0o600)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := p.choose(); err != nil {
		return nil, err
	}
	if done := p.alreadyThere(ctx); done != nil {
		if err := p.Record(ctx); err != nil {
			return nil, err
		}
		return done, p.forgetAll() // a pull that was killed behind the installation left its pieces
	}
	p.fetch = newFetcher(p.dir, p.from, p.Rate, p.Patience, p.tell)
	p.fetch.beside = p.Beside
	p.slow = newPace(p.Beside)
	defer p.slow.end()
	if err := p.forgetOthers(); err != nil {
		return nil, err
	}
	done := &Pulled{Absent: slices.Sorted(slices.Values(append(p.drop, p.Absent...)))}
	missing, err := p.missing(ctx, done)
	if err != nil {
		return nil, err
	}
	if err := p.room(missing); err != nil {
		return nil, err
	}
	p.begin(missing)
	if err := p.fetch.all(ctx, missing); err != nil {
		return nil, err
	}
	done.Fetched = p.fetch.fetched.Load()
	if done.Installed, err = p.install(ctx); err != nil {
		return nil, err
	}
	if err := p.Record(ctx); err != nil {
		return nil, err
	}
	return done, p.forgetAll()
}

// choose decides which files come, and which layers that takes.
func (p *puller) choose() error {
	if p.plan.plain != nil {
		p.needed = []ocispec.Descriptor{*p.plan.plain}
		return nil
	}
	for _, key := range p.Named {
		if _, ok := p.spec.Files[key]; !ok {
			return fmt.Errorf("the release has no file %q: it has %s", key,
				strings.Join(slices.Sorted(maps.Keys(p.spec.Files)), ", "))
		}
	}
	paths := map[string]bool{}
	wanted := p.wanted()
	for key, f := range p.spec.Files {
		if path := filepath.Clean(f.Path); slices.Contains(wanted, key) {
			paths[path] = true
		} else if !slices.Contains(p.Absent, key) {
			p.drop = append(p.drop, key)
		}
	}
	p.drop = slices.DeleteFunc(p.drop, func(key string) bool { return paths[filepath.Clean(p.spec.Files[key].Path)] })
	p.plan.files = slices.DeleteFunc(p.plan.files, func(f planFile) bool { return !paths[f.path] })
	seen := map[digest.Digest]bool{}
	for i := range p.plan.files {
		for _, d := range p.plan.files[i].layers() {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				p.needed = append(p.needed, d)
			}
		}
	}
	return nil
}

// optional are the keys that a device may do without: model files, and the features of pictures
// that 'teach --add-only' goes on from.
var optional = []string{bundle.FileFP32, bundle.FileFP16, bundle.FileINT8CPU, bundle.FileINT8TRT,
	bundle.FileINT8TRT11, "reference"}

// wanted are the keys that the device uses.
func (p *puller) wanted() []string {
	all := slices.Sorted(maps.Keys(p.spec.Files))
	if p.Keep == nil {
		return all
	}
	keep := p.Keep(slices.DeleteFunc(slices.Clone(all),
		func(key string) bool { return slices.Contains(p.Absent, key) }))
	return slices.DeleteFunc(all, func(key string) bool {
		return slices.Contains(optional, key) && !slices.Contains(keep, key)
	})
}

// alreadyThere is the bundle, where it is installed with all files that are wanted.
func (p *puller) alreadyThere(ctx context.Context) *Pulled {
	if p.Statement == nil {
		return nil
	}
	i, err := p.Store.Find(p.Statement.Bundle)
	if err != nil || bundle.CheckAll(ctx, i.Dir) != nil {
		return nil
	}
	b, err := bundle.Open(i.Dir)
	if err != nil || slices.ContainsFunc(b.Absent, func(key string) bool {
		return !slices.Contains(p.drop, key) && !slices.Contains(p.Absent, key)
	}) {
		return nil
	}
	if bundle.WriteStatement(i.Dir, p.raw, p.sig) != nil {
		return nil
	}
	return &Pulled{Installed: i, Absent: b.Absent}
}

// forgetOthers removes pieces that this release does not need.
func (p *puller) forgetOthers() error {
	keep := map[string]bool{}
	for _, d := range p.needed {
		keep[d.Digest.Encoded()] = true
	}
	return p.forget(func(name string) bool { return !keep[strings.TrimSuffix(name, ".part")] })
}

func (p *puller) forgetAll() error { return p.forget(func(string) bool { return true }) }

func (p *puller) forget(which func(name string) bool) error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != ".lock" && which(e.Name()) {
			if err := os.RemoveAll(filepath.Join(p.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing are the layers that are neither fetched yet nor in an installed bundle.
func (p *puller) missing(ctx context.Context, done *Pulled) ([]ocispec.Descriptor, error) {
	open := map[digest.Digest]int64{}
	for _, d := range p.needed {
		if p.fetch.has(d) {
			done.Reused += d.Size
		} else {
			open[d.Digest] = d.Size
		}
	}
	var err error
	if p.local, err = inStore(ctx, p.Store, open, p.slow); err != nil {
		return nil, err
	}
	var missing []ocispec.Descriptor
	for _, d := range p.needed {
		if _, there := p.local[d.Digest]; there {
			done.Reused += d.Size
		} else if !p.fetch.has(d) {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// inStore finds pieces in the installed bundles, which are cut as the release was. Only parts of a
// wanted size are hashed.
func inStore(ctx context.Context, s *store.Store, wanted map[digest.Digest]int64, slow *pace) (
	map[digest.Digest]func() (io.ReadCloser, error), error) {
	found := make(map[digest.Digest]func() (io.ReadCloser, error))
	all, err := s.List()
	if err != nil || len(wanted) == 0 {
		return found, err
	}
	sizes := make(map[int64]bool)
	for _, n := range wanted {
		sizes[n] = true
	}
	for _, i := range all {
		b, err := bundle.Open(i.Dir)
		if err != nil || len(found) == len(wanted) {
			continue // a damaged one is no source
		}
		spans := spansOf(b)
		for _, f := range b.Members() {
			c, err := cutFile(ctx, b, f, spans[f.Path], sizes, slow)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				continue
			}
			for _, part := range c.parts {
				if _, ok := wanted[digest.Digest(part.digest)]; ok {
					found[digest.Digest(part.digest)] = func() (io.ReadCloser, error) { return c.open(part) }
				}
			}
		}
	}
	return found, nil
}

// room refuses a pull that the disk cannot take: the pieces, the files put together from them, and
// a tenth more.
func (p *puller) room(missing []ocispec.Descriptor) error {
	need := layerBytes(missing)
	if p.plan.plain != nil {
		need += p.plan.plain.Size
	}
	for i := range p.plan.files {
		need += p.plan.files[i].size
	}
	need += need / 10
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return fmt.Errorf("%s has %d MB free, the release wants %d MB: make room, or remove installed models",
			p.dir, free>>20,
			need>>20+1)
	}
	return nil
}

func (p *puller) begin(missing []ocispec.Descriptor) {
	p.progress = Progress{State: StatePulling, Pieces: len(missing), Of: layerBytes(missing)}
	p.tell(nil, 0)
}

// tell counts what came, and passes on a change.
func (p *puller) tell(problem error, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress.Bytes += bytes
	p.progress.State, p.progress.Waiting = StatePulling, problem
	if problem != nil {
		p.progress.State = StateWaiting
	}
	if p.Tell != nil {
		p.Tell(p.progress)
	}
}

// open opens a layer on this device.
func (p *puller) open(d ocispec.Descriptor) (io.ReadCloser, error) {
	if open, ok := p.local[d.Digest]; ok {
		return open()
	}
	return os.Open(p.fetch.path(d))
}

// install puts the files together in the store.
func (p *puller) install(ctx context.Context) (store.Installed, error) {
	if p.Tell != nil {
		p.mu.Lock()
		p.progress.State = StateChecking
		p.Tell(p.progress)
		p.mu.Unlock()
	}
	source, err := p.source(ctx)
	if err != nil {
		return store.Installed{}, err
	}
	defer source.Close()
	i, err := p.Store.InstallFrom(ctx, source, p.Approve)
	var wrong errGone
	if errors.As(err, &wrong) { // a piece that was damaged on this disk is fetched again next time
		err = errors.Join(err, p.forgetAll())
	}
	return i, err
}

func (p *puller) source(ctx context.Context) (*bundle.Source, error) {
	if p.plan.plain != nil {
		s, err := bundle.OpenSource(p.fetch.path(*p.plan.plain))
		if err != nil {
			return nil, err
		}
		s.SetStatement(p.raw, p.sig)
		return s, nil
	}
	byPath := map[string]*planFile{}
	for i := range p.plan.files {
		byPath[p.plan.files[i].path] = &p.plan.files[i]
	}
	return bundle.NewSource(bundle.Parts{Name: p.Place.String(), Text: p.Text, Absent: append(p.drop, p.Absent...),
		Statement: p.raw, Signature: p.sig,
		Open: func(path string) (io.ReadCloser, error) {
			return p.slow.paced(ctx, assemble(byPath[path], p.open)), nil
		}})
}
