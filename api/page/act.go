package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/vggse/vggse-agent/live"
)

// BodyLimit is how long the body of an action may be, bytes.
const BodyLimit = 16 << 10

// act lets through who has the right to change something, and answers for do: what it returns as
// done is remembered as an event.
func (p *Page) act(do func(w http.ResponseWriter, r *http.Request) (done, camera string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rights := RightsOf(r)
		if !rights.Act {
			refuse(w, http.StatusForbidden, "this needs the right to act")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, BodyLimit)
		done, camera, err := do(w, r)
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		p.agent.Acted(rights.By, done, camera)
		p.live.Note(live.Event{Kind: live.KindAction, Camera: camera, Text: done, By: rights.By})
		answer(w, http.StatusOK, struct {
			Done string `json:"done"`
		}{done})
	}
}

// decode reads the JSON body of an action into v; another key than those of v is refused.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body of the request is not understood: %w", err)
	}
	return nil
}

func (p *Page) setThreshold(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	var a struct {
		Camera    string   `json:"camera"`
		Threshold *float64 `json:"threshold"`
	}
	if err := decode(r, &a); err != nil {
		return "", "", err
	}
	if a.Threshold == nil || !(*a.Threshold >= 0 && *a.Threshold <= 1) {
		return "", "", fmt.Errorf("threshold: must be between 0 and 1")
	}
	if err := p.agent.SetThreshold(a.Camera, *a.Threshold); err != nil {
		return "", "", err
	}
	return fmt.Sprintf("threshold %g", *a.Threshold), a.Camera, nil
}

func (p *Page) setClassThreshold(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	var a struct {
		Camera    string   `json:"camera"`
		Label     string   `json:"label"`
		Threshold *float64 `json:"threshold"` // null: none of its own
	}
	if err := decode(r, &a); err != nil {
		return "", "", err
	}
	if t := a.Threshold; t != nil && !(*t >= 0 && *t <= 1) {
		return "", "", fmt.Errorf("threshold: must be between 0 and 1")
	}
	if err := p.agent.SetClassThreshold(a.Camera, a.Label, a.Threshold); err != nil {
		return "", "", err
	}
	if a.Threshold == nil {
		return fmt.Sprintf("threshold of %s as of the others", a.Label), a.Camera, nil
	}
	return fmt.Sprintf("threshold %g for %s", *a.Threshold, a.Label), a.Camera, nil
}

func (p *Page) setEnabled(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	var a struct {
		Camera string `json:"camera"`
		On     *bool  `json:"on"`
	}
	if err := decode(r, &a); err != nil {
		return "", "", err
	}
	if a.On == nil {
		return "", "", fmt.Errorf("on: must be true or false")
	}
	if err := p.agent.Enable(a.Camera, *a.On); err != nil {
		return "", "", err
	}
	if *a.On {
		return "enabled", a.Camera, nil
	}
	return "disabled", a.Camera, nil
}

// activatePatience is how long a model may take to be verified: less than an answer of HTTP.
const activatePatience = 100 * time.Second

// digest is what names an installed bundle.
var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (p *Page) activate(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	var a struct {
		SHA256 string `json:"sha256"`
	}
	if err := decode(r, &a); err != nil {
		return "", "", err
	}
	if !digest.MatchString(a.SHA256) {
		return "", "", fmt.Errorf("sha256: must be the digest of an installed model")
	}
	ctx, cancel := context.WithTimeout(r.Context(), activatePatience)
	defer cancel()
	if err := p.agent.Activate(ctx, a.SHA256); err != nil {
		return "", "", err
	}
	return "model " + a.SHA256[:12] + " activated", "", nil
}

func (p *Page) rollBack(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	if err := decode(r, &struct{}{}); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), activatePatience)
	defer cancel()
	return "rolled back to the model before", "", p.agent.RollBack(ctx)
}
