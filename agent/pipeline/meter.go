package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

// window is how many of the latest frames the percentiles of Stats look at.
const window = 1024

// meter counts what one camera's stream does. captured and still may be read at any time; the rest
// is guarded.
type meter struct {
	captured atomic.Uint64
	still    atomic.Uint64 // of them: nothing had moved

	mu         sync.Mutex
	classified uint64
	told       uint64                // classified when the figures were last reported
	judged     uint64                // of classified: with a p-value
	unknown    uint64                // of judged: showed none of the classes
	toldJudged uint64                // judged when the figures were last reported
	toldOf     uint64                // and unknown
	drift      mqtt.Drift            // as of the last of classified
	infer      [window]time.Duration // ring of the latest inference times
	total      [window]time.Duration // and of the latest times from capture to decision
}

func (m *meter) add(d *vision.Decision, drift mqtt.Drift) {
	m.mu.Lock()
	i := m.classified % window
	m.infer[i], m.total[i] = d.Latency.Infer, d.Latency.Total
	m.classified++
	m.drift = drift
	if d.PValue > 0 {
		m.judged++
	}
	if d.Unknown {
		m.unknown++
	}
	m.mu.Unlock()
}
