package trial

import (
	"errors"
	"fmt"
	"time"

	"github.com/vggse/vggse-agent/configs"
)

// Progress is how far a trial is. It outlives the process.
type Progress struct {
	Frames   int           `json:"frames,omitempty"`   // decisions
	Held     time.Duration `json:"held,omitempty"`     // that the model has run, nanoseconds
	Sampled  int           `json:"sampled,omitempty"`  // decisions that were looked at: one a second and stream
	Unknown  int           `json:"unknown,omitempty"`  // of them without a label
	Timed    int           `json:"timed,omitempty"`    // of them with a latency to hold against Baseline
	Slower   int           `json:"slower,omitempty"`   // of those beyond the bound
	Baseline time.Duration `json:"baseline,omitempty"` // median of the model before for a picture; 0: not known
}

// SampleEvery is the least time between two pictures of a stream that are looked at: those closer to
// each other show the same.
const SampleEvery = time.Second

// Watch follows what a model on trial decides. It is for one goroutine at a time, and allocates
// nothing once each stream has come.
type Watch struct {
	Progress
	bounds configs.Trial
	every  time.Duration
	last   map[string]time.Time // by stream, that was looked at
}

// NewWatch goes on where p is. every is SampleEvery, but for tests.
func NewWatch(bounds configs.Trial, p Progress, every time.Duration) *Watch {
	return &Watch{Progress: p, bounds: bounds, every: every, last: make(map[string]time.Time)}
}

// Decided counts the decision of a picture that the stream took at the time at, and whose run took
// so long.
func (w *Watch) Decided(stream string, at time.Time, unknown bool, took time.Duration) {
	w.Frames++
	if last, again := w.last[stream]; again && at.Sub(last) < w.every && at.Sub(last) >= 0 {
		return
	}
	w.last[stream] = at
	w.Sampled++
	w.Unknown += count(unknown)
	if w.Baseline > 0 && w.bounds.Latency > 0 {
		w.Timed++
		w.Slower += count(float64(took) > w.bounds.Latency*float64(w.Baseline))
	}
}

// Done reports whether the model has run for long enough, and decided often enough.
func (w *Watch) Done() bool { return w.Frames >= max(1, w.bounds.Frames) && w.Held >= w.bounds.Hold }

// Worse says what the model's decisions prove by themselves, for where there is no model before
// beside it to compare with. A machine may be busy for a while, so its time is judged at the end.
func (w *Watch) Worse() error {
	if low, _ := Interval(w.Unknown, w.Sampled); w.bounds.Unknown > 0 && low > w.bounds.Unknown {
		return tooUnknown(w.Unknown, w.Sampled, w.bounds.Unknown)
	}
	if low, _ := Interval(w.Slower, w.Timed); low > 0.5 && (w.Done() || w.Timed >= surelySlow) {
		return fmt.Errorf("%d of %d pictures took more than %g times the %s of the model before "+
			"(model.trial.latency)", w.Slower, w.Timed, w.bounds.Latency, w.Baseline.Round(10*time.Microsecond))
	}
	return nil
}

// surelySlow is how many pictures are looked at before a model is refused for its time alone.
const surelySlow = 300

// String is how far the trial is.
func (w *Watch) String() string {
	return fmt.Sprintf("%d of %d decisions, %s of %s", w.Frames, w.bounds.Frames, w.Held.Round(time.Second),
		w.bounds.Hold)
}

// ErrNoNumber is why a model is refused whose answer is none.
var ErrNoNumber = errors.New("it answers with what is no number (NaN or infinite)")
