package progress

import (
	"io"
	"sync"
)

// Steps shows the progress of steps that follow one another.
func Steps(w io.Writer) func(step string, done, of int) {
	var mu sync.Mutex
	var step string
	var set func(int) error
	return func(s string, done, of int) {
		mu.Lock()
		defer mu.Unlock()
		if s != step {
			bar := New(w, s, int64(of), false)
			step, set = s, bar.Set
		}
		_ = set(done)
	}
}
