package samples

import (
	"context"
	"log/slog"
	"sync"

	"github.com/vggse/vggse-agent/vision"
)

// Recorder takes copies of pictures worth keeping from the inference, and writes them in its own
// time: one at once, and what comes meanwhile is passed over.
type Recorder struct {
	folder *Folder
	log    *slog.Logger
	full   chan struct{} // pending holds something; capacity 1

	mu       sync.Mutex // guards what follows
	sum      string     // the model's
	busy     bool
	signals  vision.Signals // of decision: the features alone
	reason   string
	saved    string // the model that decision is of
	decision vision.Decision
	frame    vision.Frame
}

// OpenRecorder opens the folder of the configuration; nil where there is none.
func OpenRecorder(c Config, sum string, log *slog.Logger) (*Recorder, error) {
	if c.Dir == "" {
		return nil, nil
	}
	folder, err := Open(c)
	if err != nil {
		return nil, err
	}
	return &Recorder{folder: folder, sum: sum, log: log, full: make(chan struct{}, 1)}, nil
}

// Uses says which model the pictures are judged by from now on, by its SHA-256.
func (k *Recorder) Uses(sum string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum = sum
}

// Record implements the pipeline's Recorder.
func (k *Recorder) Record(d *vision.Decision, f *vision.Frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy {
		return
	}
	if k.reason = k.folder.Worth(d); k.reason == "" {
		return
	}
	d.CopyTo(&k.decision)
	if d.Signals != nil && len(d.Signals.Features) > 0 {
		k.signals.Features = append(k.signals.Features[:0], d.Signals.Features...)
		k.decision.Signals = &k.signals
	}
	k.saved = k.sum
	k.frame.CopyFrom(f)
	k.busy = true
	k.full <- struct{}{}
}

// Run writes until ctx ends. A disk that cannot be written is told once, and tried again.
func (k *Recorder) Run(ctx context.Context) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.full:
		}
		err := k.folder.Save(&k.decision, &k.frame, k.reason, k.saved)
		if err != nil && !failed {
			k.log.Warn("a sample could not be kept", "error", err)
		}
		failed = err != nil
		k.mu.Lock()
		k.busy = false
		k.mu.Unlock()
	}
}
