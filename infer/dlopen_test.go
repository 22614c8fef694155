package infer

import (
	"strings"
	"sync"
	"testing"
)

// The linker's reason is that of the thread: it is not lost where many goroutines move between
// threads.
func TestOpenSharedTellsTheReason(t *testing.T) {
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 200 {
				if _, err := openShared("/nowhere/libnone.so"); err == nil ||
					!strings.Contains(err.Error(), "libnone.so") {
					t.Errorf("got %q, want the linker's reason with the name", err)
					return
				}
			}
		})
	}
	group.Wait()
}
