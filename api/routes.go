package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/vggse/vggse-agent/api/page"
)

// routes is the table of all paths but those of the live page.
func routes(c Config, build Build, agent Agent, m *Metrics) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		err := agent.Stuck()
		switch {
		case err == nil:
			fmt.Fprintln(w, "ok")
		case page.RightsOf(r).View:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			http.Error(w, "not well; a token shows why", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, agent) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, build) })
	mux.Handle("GET /metrics", m.handler())
	if c.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// index is /: the page for a person's browser, where there is one, a list of paths for others.
func index(build Build, p *page.Page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if p != nil && asksForPage(r) {
			p.Index(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "vggse-agent %s\n\n/healthz\n/readyz\n/metrics\n/version\n", build.Version)
		if p != nil {
			fmt.Fprint(w, "/live/CAMERA.jpg\n/live/CAMERA.mjpeg\n")
		}
	}
}

// ready tells whether decisions reach a broker, and if not, who may look why.
func ready(w http.ResponseWriter, r *http.Request, agent Agent) {
	reasons := agent.Unready()
	if err := agent.Stuck(); err != nil {
		reasons = append(reasons, err.Error())
	}
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	ok := len(reasons) == 0
	if !page.RightsOf(r).View {
		reasons = nil
	}
	answer(w, status, struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons,omitempty"`
	}{ok, reasons})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only where the asker has gone
}
