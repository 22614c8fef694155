package page

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/vggse/vggse-agent/live"
)

// answer sends v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only where the asker has gone
}

// refuse says why something is not done, as JSON.
func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, struct {
		Error string `json:"error"`
	}{why})
}

func (p *Page) history(w http.ResponseWriter, r *http.Request) {
	h, err := p.live.History(r.FormValue("camera"), r.FormValue("span"))
	if err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	answer(w, http.StatusOK, h)
}

// curveSteps are the thresholds of the curve beside the one that is asked for.
const curveSteps = 20

// replay tells what the threshold that is asked for would have done and, with curve=1, those between
// 0 and 1, too.
func (p *Page) replay(w http.ResponseWriter, r *http.Request) {
	asked, err := strconv.ParseFloat(r.FormValue("threshold"), 64)
	if err != nil || !(asked >= 0 && asked <= 1) {
		refuse(w, http.StatusBadRequest, "threshold: must be between 0 and 1")
		return
	}
	thresholds := []float64{asked}
	if r.FormValue("curve") == "1" {
		for i := range curveSteps {
			thresholds = append(thresholds, float64(i)/curveSteps)
		}
	}
	p.replays.Lock()
	out, err := p.live.Replay(r.FormValue("camera"), thresholds)
	p.replays.Unlock()
	if err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	answer(w, http.StatusOK, out)
}

// channels tells how unusual what the attention blocks make of the newest frames is.
func (p *Page) channels(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.FormValue("after"), 10, 64)
	if err != nil && r.FormValue("after") != "" {
		refuse(w, http.StatusBadRequest, "after: must be the time of a frame, in ms")
		return
	}
	out, err := p.live.Strips(r.FormValue("camera"), after)
	if err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	answer(w, http.StatusOK, out)
}

func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
	if err != nil && r.FormValue("after") != "" {
		refuse(w, http.StatusBadRequest, "after: must be the number of an event")
		return
	}
	answer(w, http.StatusOK, struct {
		Events []live.Event `json:"events"`
	}{p.live.Events(after)})
}

func (p *Page) device(w http.ResponseWriter, _ *http.Request) {
	d := p.agent.Device()
	d.Viewers = p.Viewers()
	answer(w, http.StatusOK, d)
}
