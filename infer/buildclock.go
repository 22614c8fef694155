package infer

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// BuildClock tells a person how long a build has been going on, every few seconds.
type BuildClock struct {
	Took time.Duration // how long the last build took; 0: none was needed

	w    io.Writer
	stop context.CancelFunc
	done chan struct{}
}

// NewBuildClock writes to w; its Tell is for the setting Tell of the engines.
func NewBuildClock(w io.Writer) *BuildClock { return &BuildClock{w: w} }

// Tell takes the news of a build: that it begins, and that it is done.
func (c *BuildClock) Tell(b Building) {
	if b.Done {
		c.stop()
		<-c.done
		c.Took = b.Took
		return
	}
	fmt.Fprintf(c.w, "building the %s engine for %s: %s%s\n", b.Precision, b.Provider, b.Why, lastTook(b.Last))
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.done = stop, make(chan struct{})
	go func() {
		defer close(c.done)
		begin, tick := time.Now(), time.NewTicker(5*time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				fmt.Fprintf(c.w, "building for %s so far%s\n", time.Since(begin).Round(time.Second), lastTook(b.Last))
			}
		}
	}()
}

func lastTook(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf(" (the last one took %s)", d.Round(time.Second))
}

// EngineBytes is how much the files of an engine's folder take; those that cannot be read count
// nothing.
func EngineBytes(dir string) (n int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if i, err := os.Stat(filepath.Join(dir, f.Name())); err == nil {
			n += i.Size()
		}
	}
	return n
}
