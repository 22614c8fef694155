package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A fault that repeats is written logBurst times a minute for each camera, and what was left out is
// counted; other messages and debugging go on.
func TestLogIsLimited(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	limited := newLimiter(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	limited.seen.now = func() time.Time { return now }
	log := slog.New(limited)
	infeed := log.With("camera", "infeed")
	for i := range 100 {
		infeed.Warn("camera lost", "error", i)
		log.Warn("camera lost", "camera", "outfeed", "error", i)
		log.Debug("frame")
	}
	log.Info("other")
	for text, want := range map[string]int{"camera=infeed": logBurst, "camera=outfeed": logBurst, "msg=frame": 100,
		"msg=other": 1} {
		if got := strings.Count(out.String(), text); got != want {
			t.Errorf("%d lines with %s, want %d", got, text, want)
		}
	}
	out.Reset()
	now = now.Add(logWindow)
	infeed.Warn("camera lost")
	infeed.Warn("camera lost")
	if want := fmt.Sprintf("hidden_before=%d", 100-logBurst); strings.Count(out.String(), "hidden_before") != 1 ||
		!strings.Contains(out.String(), want) {
		t.Errorf("want %s once: %s", want, out.String())
	}
	log.Info("new")
	if n := len(limited.seen.entries); n != 3 {
		t.Errorf("%d messages are remembered, want 3: outfeed's, whose count is still to be told, infeed's and the "+
			"new one", n)
	}
}

func TestIsJournal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	if stream := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino); !isJournal(f, stream) {
		t.Errorf("%s is not known as the journal's", stream)
	}
	for _, stream := range []string{"", "1", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1)} {
		if isJournal(f, stream) {
			t.Errorf("%q is taken for the journal", stream)
		}
	}
}
