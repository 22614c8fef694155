package release

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/backoff"
)

// streams is how many pieces are fetched at once.
const streams = 2

// chunk is what is read, and counted against the rate limit, at a time, bytes.
const chunk = 32 << 10

// fetcher brings pieces into a folder: complete under their digest, else as .part.
type fetcher struct {
	dir      string
	from     source
	limit    *rate.Limiter // nil: none
	patience time.Duration // of failed attempts, without one that brought a byte
	beside   bool          // a network runs in this process
	tell     func(problem error, bytes int64)
	fetched  atomic.Int64 // bytes
}

func newFetcher(dir string, from source, bytesPerSecond int64, patience time.Duration,
	tell func(error, int64)) *fetcher {
	f := &fetcher{dir: dir, from: from, patience: patience, tell: tell}
	if bytesPerSecond > 0 {
		f.limit = rate.NewLimiter(rate.Limit(bytesPerSecond), chunk)
	}
	return f
}

// path is where a complete piece lies.
func (f *fetcher) path(d ocispec.Descriptor) string { return filepath.Join(f.dir, d.Digest.Encoded()) }

// has reports whether a piece is there.
func (f *fetcher) has(d ocispec.Descriptor) bool {
	info, err := os.Lstat(f.path(d))
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// all fetches pieces, two at a time.
func (f *fetcher) all(ctx context.Context, missing []ocispec.Descriptor) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(streams)
	for _, d := range missing {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f.patiently(ctx, d) })
	}
	return g.Wait()
}

// patiently fetches one piece, and tries again where the place is away or the line breaks.
func (f *fetcher) patiently(ctx context.Context, d ocispec.Descriptor) error {
	since := time.Now()
	for attempt := 0; ; attempt++ {
		before := f.fetched.Load()
		err := f.one(ctx, d)
		var gone errGone
		if err == nil || errors.As(err, &gone) || ctx.Err() != nil || local(err) {
			return err
		}
		if f.fetched.Load() > before {
			since, attempt = time.Now(), 0
		}
		f.tell(err, 0)
		if time.Since(since) > f.patience {
			return fmt.Errorf("given up after %s: %w", f.patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff.Delay(attempt)):
		}
	}
}

// local reports whether an error is this machine's own, which waiting does not cure.
func local(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// one makes one attempt at a piece, from where the last one ended.
func (f *fetcher) one(ctx context.Context, d ocispec.Descriptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	part, err := os.OpenFile(f.path(d)+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer part.Close()
	slow := newPace(f.beside)
	defer slow.end()
	sum := digest.Canonical.Hash()
	done, err := resume(part, slow.paced(ctx, part), sum, d.Size)
	if err != nil {
		return err
	}
	if done < d.Size {
		if err := f.rest(ctx, cancel, d, done, io.MultiWriter(part, sum), slow); err != nil {
			return err
		}
	}
	if digest.NewDigest(digest.Canonical, sum) != d.Digest {
		if err := os.Remove(part.Name()); err != nil {
			return err
		}
		if done > 0 { // what was there before a loss of power may be damaged: once more from its beginning
			return f.one(ctx, d)
		}
		return errWrong(d)
	}
	if err := errors.Join(part.Sync(), os.Rename(part.Name(), f.path(d))); err != nil {
		return err
	}
	return atomicfile.SyncDir(f.dir)
}

// resume hashes what is there of a piece.
func resume(part *os.File, from io.Reader, sum hash.Hash, size int64) (int64, error) {
	info, err := part.Stat()
	if err == nil && info.Size() > size {
		err = part.Truncate(0)
	}
	if err != nil {
		return 0, err
	}
	return io.Copy(sum, from)
}

// rest fetches a piece from byte done on.
func (f *fetcher) rest(ctx context.Context, cancel context.CancelCauseFunc, d ocispec.Descriptor, done int64,
	to io.Writer, slow *pace) error {
	quiet := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("nothing came for %s", stalled)) })
	defer quiet.Stop()
	from, err := f.from.fetch(ctx, d)
	if err != nil {
		return err
	}
	defer from.Close()
	if done > 0 {
		if err := skip(from, done); err != nil {
			return err
		}
	}
	buf := make([]byte, chunk)
	for done < d.Size {
		if err := slow.rest(ctx); err != nil {
			return err
		}
		quiet.Reset(stalled)
		n, err := from.Read(buf[:min(chunk, d.Size-done)])
		quiet.Stop()
		if n > 0 {
			if err := f.take(ctx, to, buf[:n]); err != nil {
				return err
			}
			done += int64(n)
		}
		if err != nil && done < d.Size {
			return fmt.Errorf("the line broke at byte %d of piece %.19s…: %w", done, d.Digest, cause(ctx, err))
		}
	}
	return nil
}

// skip goes on to byte n: by a request of its own where the registry announces byte ranges, else by
// reading.
func skip(from io.Reader, n int64) error {
	if s, ok := from.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, from, n)
	return err
}

func (f *fetcher) take(ctx context.Context, to io.Writer, b []byte) error {
	if f.limit != nil {
		if err := f.limit.WaitN(ctx, len(b)); err != nil {
			return err
		}
	}
	if _, err := to.Write(b); err != nil {
		return err
	}
	f.fetched.Add(int64(len(b)))
	f.tell(nil, int64(len(b)))
	return nil
}

// cause is why a context ended, where it did, else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
