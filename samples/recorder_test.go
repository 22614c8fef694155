package samples

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
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
	d := vision.Decision{Camera: "a", Top: []vision.Class{{Label: "x", Score: 0.5}}, Changed: true,
		Signals: &vision.Signals{Features: []float32{1, -2}}}
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
		if len(kept) > 1 {
			k.Uses("other")
		}
		if time.Now().After(end) {
			t.Fatalf("%d samples after %s", len(kept), 2*time.Minute)
		}
	}
	cancel()
	<-done
	stories, err := filepath.Glob(dir + "/*.json")
	if err != nil || len(stories) != 5 {
		t.Fatalf("%v, %v", stories, err)
	}
	models := map[string]bool{}
	for _, path := range stories {
		var s story
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if want := []byte{0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}; err != nil || !bytes.Equal(s.Features, want) {
			t.Errorf("features %x, want %x: %v", s.Features, want, err)
		}
		models[s.Model] = true
	}
	if !models["abc"] || !models["other"] || len(models) != 2 {
		t.Errorf("pictures of models %v, want of abc, and of other once that ran", models)
	}
	if k, err := OpenRecorder(Config{}, "", nil); k != nil || err != nil {
		t.Errorf("without a folder: %v, %v", k, err)
	}
}
