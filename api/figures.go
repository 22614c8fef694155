package api

import "github.com/prometheus/client_golang/prometheus"

// figures makes metrics of what the agent says at each scrape.
type figures struct{ agent Agent }

var (
	camera     = []string{"camera"}
	online     = prometheus.NewDesc("vggse_camera_online", "1 while the camera delivers.", camera, nil)
	captured   = prometheus.NewDesc("vggse_frames_captured_total", "Frames that a camera gave.", camera, nil)
	classified = prometheus.NewDesc("vggse_frames_classified_total", "Frames that went through the network.", camera,
		nil)
	skipped = prometheus.NewDesc("vggse_frames_skipped_total",
		"Frames for which a newer one came before the network was free.", camera, nil)
	judged = prometheus.NewDesc("vggse_frames_judged_total",
		"Frames of which the network could tell whether they show one of its classes.", camera, nil)
	unknown = prometheus.NewDesc("vggse_frames_unknown_total",
		"Frames that show none of the classes, by decide.unknown_below.", camera, nil)
	drift = prometheus.NewDesc("vggse_drift",
		"1 while pictures look unlike those that the model was calibrated or taught with, by decide.drift_every.",
		[]string{"camera", "signal"}, nil)
	driftScore = prometheus.NewDesc("vggse_drift_score", "How near pictures are to that, 0 to 1.", camera, nil)
	connected  = prometheus.NewDesc("vggse_broker_connected", "1 while the broker is connected.", nil, nil)
	waiting    = prometheus.NewDesc("vggse_queue_records", "Records without the broker's acknowledgement.", nil, nil)
	queueBytes = prometheus.NewDesc("vggse_queue_bytes", "Bytes of the files on disk in which records wait.", nil, nil)
	dropped    = prometheus.NewDesc("vggse_queue_dropped_total",
		"Sequence numbers that never came, each told in a queue_dropped event.", nil, nil)
	failing = prometheus.NewDesc("vggse_queue_disk_failing",
		"1 while the disk fails and records wait in memory only.", nil, nil)
	isReady = prometheus.NewDesc("vggse_ready", "1 while decisions reach the broker.", nil, nil)
	network = prometheus.NewDesc("vggse_model_info", "The network that classifies, 1.",
		[]string{"name", "version", "sha256", "precision", "provider"}, nil)
	updateState = prometheus.NewDesc("vggse_update_state", "1 for what the service does about releases now.",
		[]string{"state"}, nil)
	updateRelease = prometheus.NewDesc("vggse_update_release", "Number of the release that was looked at last.",
		[]string{"name"}, nil)
	updateInstalled = prometheus.NewDesc("vggse_update_installed", "Number of the release that answers, 0 for none.",
		nil, nil)
	updateBytes  = prometheus.NewDesc("vggse_update_bytes", "Bytes of the release that were fetched.", nil, nil)
	updateWanted = prometheus.NewDesc("vggse_update_wanted_bytes", "Bytes of the release that are to be fetched.", nil,
		nil)
	updateFailures = prometheus.NewDesc("vggse_update_failures_total", "Releases that were not taken.", nil, nil)
)

// Describe promises nothing: which gauges a machine has is known only when it is read.
func (f figures) Describe(chan<- *prometheus.Desc) {}

// Collect reads the agent once.
func (f figures) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	now := f.agent.Figures()
	for _, c := range now.Cameras {
		gauge(online, number(c.Online), c.Name)
		count(captured, c.Captured, c.Name)
		count(classified, c.Classified, c.Name)
		count(skipped, c.Skipped, c.Name)
		count(judged, c.Judged, c.Name)
		count(unknown, c.Unknown, c.Name)
		if d := c.Drift; d.Watched {
			gauge(drift, number(d.Features), c.Name, "features")
			gauge(drift, number(d.Channels), c.Name, "channels")
			gauge(driftScore, d.Score, c.Name)
		}
	}
	gauge(connected, number(now.Connected))
	gauge(waiting, float64(now.Waiting))
	gauge(queueBytes, float64(now.Queue.Bytes))
	count(dropped, now.Queue.Dropped)
	gauge(failing, number(now.Queue.Failing))
	gauge(isReady, number(len(f.agent.Unready()) == 0))
	if m := now.Model; m != (Model{}) {
		gauge(network, 1, m.Name, m.Version, m.SHA256, m.Precision, m.Provider)
	}
	if u := now.Update; u.State != "" {
		for _, state := range updateStates {
			gauge(updateState, number(state == u.State), state)
		}
		gauge(updateRelease, float64(u.Release), u.Name)
		gauge(updateInstalled, float64(u.Installed))
		gauge(updateBytes, float64(u.Bytes))
		gauge(updateWanted, float64(u.Of))
		count(updateFailures, u.Failures)
	}
	for _, g := range now.Machine {
		var names, values []string
		if g.Label != "" {
			names, values = []string{g.Label}, []string{g.Where}
		}
		gauge(prometheus.NewDesc(g.Name, g.Help, names, nil), g.Value, values...)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
