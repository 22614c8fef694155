package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vggse/vggse-agent/vision"
)

// Figures are the agent's at one moment. Counts are since the start.
type Figures struct {
	Cameras   []Camera
	Connected bool // to the broker
	Waiting   int  // records without the broker's acknowledgement
	Queue     Queue
	Model     Model // zero while the network opens
	Update    Update
	Machine   []Gauge
}

// Update is what the service does about releases.
type Update struct {
	State     string // as on MQTT; empty: nothing was told yet
	Name      string // of the release
	Release   int64
	Bytes, Of int64  // fetched, and to fetch
	Installed int64  // number of the release that answers; 0: none
	Failures  uint64 // releases that were not taken, since the start
}

// updateStates are the values of Update.State.
var updateStates = []string{"idle", "waiting", "pulling", "checking", "probation", "failed"}

// Queue is what waits for the broker on disk, and what never arrived.
type Queue struct {
	Bytes   int64  // of files on disk
	Dropped uint64 // sequence numbers that never came, since the start
	Failing bool   // the disk: records wait in memory only
}

// Camera is one camera's figures.
type Camera struct {
	Name                          string
	Online                        bool
	Captured, Classified, Skipped uint64 // frames; skipped: a newer one came before the network was free
	Judged, Unknown               uint64 // frames: of Classified, the network could tell; of these, no class
	Drift                         Drift
}

// Drift is whether a camera's pictures go on looking like those that the model was calibrated or taught with.
type Drift struct {
	Watched  bool
	Features bool // its labels' pictures look unlike them
	Channels bool // light, focus or colour do
	Score    float64
}

// Model is what classifies.
type Model struct{ Name, Version, SHA256, Precision, Provider string }

// Gauge is a value of the machine, such as a temperature. The gauges of one Name share Help and
// Label.
type Gauge struct {
	Name, Help   string
	Label, Where string // the label's name and value; both empty: no label
	Value        float64
}

// Metrics are the agent's, for Prometheus: histograms that Observe fills, and Figures read at each
// scrape.
type Metrics struct {
	agent     Agent
	registry  *prometheus.Registry
	inference *prometheus.HistogramVec
	frame     *prometheus.HistogramVec
	changes   *prometheus.CounterVec
}

// buckets of a time from 0.5 ms to 8 s: a small network on a GPU to a full one on a small CPU.
var buckets = prometheus.ExponentialBuckets(0.0005, 2, 15)

func newMetrics(build Build, agent Agent) *Metrics {
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets},
			[]string{"camera"})
	}
	m := &Metrics{
		agent: agent, registry: prometheus.NewPedanticRegistry(),
		inference: histogram("vggse_inference_seconds", "Time of one frame inside the network."),
		frame:     histogram("vggse_frame_seconds", "Time from the capture of a frame to its decision."),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vggse_label_changes_total", Help: "Changes of a camera's label."}, []string{"camera"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "vggse_build_info", Help: "The program, 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": build.Go},
	})
	info.Set(1)
	m.registry.MustRegister(m.inference, m.frame, m.changes, info, figures{agent},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts one decision. It keeps nothing of d, and allocates at the first of a camera only.
func (m *Metrics) Observe(d *vision.Decision) {
	m.inference.WithLabelValues(d.Camera).Observe(d.Latency.Infer.Seconds())
	m.frame.WithLabelValues(d.Camera).Observe(d.Latency.Total.Seconds())
	if d.Changed {
		m.changes.WithLabelValues(d.Camera).Inc()
	}
}

// scrapes are answered at the same time; others wait for their turn.
const scrapes = 4

func (m *Metrics) handler() http.Handler {
	answer, turns := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}), make(chan struct{}, scrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			answer.ServeHTTP(w, r)
		case <-r.Context().Done(): // nobody reads the answer any more
		}
	})
}
