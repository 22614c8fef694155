package samples

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// The pictures of a pipeline that are worth it come to the disk, and the inference never waits for
// that.
func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenRecorder(Config{Dir: dir, Changed: true, Bytes: 1 << 20, Count: 5}, "abc",
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	var f vision.Frame
	f.Resize(64, 36)
	d := vision.Decision{Camera: "a", Top: []vision.Class{{Label: "x", Score: 0.5}}, Changed: true}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		d.Time = time.Now()
		k.Record(&d, &f)
		kept, err := filepath.Glob(dir + "/*.png")
		if err != nil {
			t.Fatal(err)
		}
		if len(kept) == 5 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d samples after %s", len(kept), 2*time.Minute)
		}
	}
	cancel()
	<-done
	if k, err := OpenRecorder(Config{}, "", nil); k != nil || err != nil {
		t.Errorf("without a folder: %v, %v", k, err)
	}
}
