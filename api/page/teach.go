package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/samples"
)

// Teacher fits the last layer of the network that runs to the marked samples, one run at a time, in
// a process of its own that goes on whoever looks.
type Teacher interface {
	// Teaching is how the last run stands. It does not wait.
	Teaching() Teaching
	// Begin begins a run, Stop ends it; flip: a mirrored picture shows the same label.
	Begin(flip bool) error
	Stop() error
	// Use installs what the last run has made, and lets it run.
	Use(ctx context.Context) error
	// Report opens report.json or report.html of the last run that came to its end. Close it.
	Report(name string) (*os.File, error)
}

// States of a Teaching.
const (
	TeachNever   = "never"   // none was begun
	TeachRunning = "running" // it is under way
	TeachDone    = "done"    // there is a bundle, and a report
	TeachMissed  = "missed"  // there is a report only: what was made is proven to be worse
	TeachStopped = "stopped" // somebody has ended it
	TeachFailed  = "failed"  // Says why
)

// Teaching is how a run of 'teach' stands.
type Teaching struct {
	State  string  `json:"state"`
	Off    string  `json:"off,omitempty"` // why nothing can be taught here; empty: it can
	Began  int64   `json:"began"`         // ms
	Ended  int64   `json:"ended"`         // ms; 0: it has not, or nobody knows
	Step   int     `json:"step"`          // under way, from 1; 0: none yet
	Steps  int     `json:"steps"`
	What   string  `json:"what"`   // is done in it
	Share  float64 `json:"share"`  // of the step that is done, 0..1; -1: nobody knows
	Says   string  `json:"says"`   // the last word of a run that failed
	SHA256 string  `json:"sha256"` // of the bundle that was made
	// Stored says that the network that runs brings what teach needs of labels without pictures.
	Stored bool `json:"stored"`
}

// lesson is what the view of teaching shows.
type lesson struct {
	Teaching
	Labels []labelled  `json:"labels"`
	Models []Installed `json:"models"`
	Update Update      `json:"update"`
	Note   string      `json:"note"` // why an installed model does not run: as Device.ModelNote
}

// labelled is one label with its pictures.
type labelled struct {
	Label string `json:"label"`
	Marks int    `json:"marks"` // samples that were marked so
	Known bool   `json:"known"` // the network that runs has it
}

// teaching tells how teaching stands, and what there is to be taught.
func (p *Page) teaching(w http.ResponseWriter, _ *http.Request) {
	l := lesson{Teaching: p.agent.Teacher().Teaching(), Labels: []labelled{}}
	d := p.agent.Device()
	l.Models, l.Note, l.Update = d.Models, d.ModelNote, d.Update
	known, _ := p.live.Labels()
	for _, label := range known {
		l.Labels = append(l.Labels, labelled{Label: label, Known: true})
	}
	if review := p.agent.Samples(); review != nil && p.about.Pictures {
		all, err := review.List()
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		l.Labels = count(l.Labels, all)
	} else if l.Off == "" {
		l.Off = "samples.dir"
	}
	answer(w, http.StatusOK, l)
}

// count adds the marked samples to the labels, and the labels that are new, by their names.
func count(labels []labelled, all []samples.Sample) []labelled {
	known := len(labels)
	for i := range all {
		if !all[i].Marked {
			continue
		}
		at := slices.IndexFunc(labels, func(l labelled) bool { return l.Label == all[i].Right })
		if at < 0 {
			at, labels = len(labels), append(labels, labelled{Label: all[i].Right})
		}
		labels[at].Marks++
	}
	slices.SortFunc(labels[known:], func(a, b labelled) int { return strings.Compare(a.Label, b.Label) })
	return labels
}

func (p *Page) teach(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	var a struct {
		Flip bool `json:"flip"`
	}
	if err := decode(r, &a); err != nil {
		return "", "", err
	}
	if !p.about.Pictures || p.agent.Samples() == nil {
		return "", "", errors.New("no samples are kept, or pictures are switched off")
	}
	return "teaching begun", "", p.agent.Teacher().Begin(a.Flip)
}

func (p *Page) stopTeaching(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	if err := decode(r, &struct{}{}); err != nil {
		return "", "", err
	}
	return "teaching stopped", "", p.agent.Teacher().Stop()
}

func (p *Page) useTaught(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	if err := decode(r, &struct{}{}); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), activatePatience)
	defer cancel()
	return "what was taught is installed and activated", "", p.agent.Teacher().Use(ctx)
}

// reportLimit is the longest report.json that is read, bytes.
const reportLimit = 16 << 20

// teachReport is what the last run has found out, as far as the page draws it.
func (p *Page) teachReport(w http.ResponseWriter, _ *http.Request) {
	f, ok := p.openReport(w, "report.json")
	if !ok {
		return
	}
	defer f.Close()
	var r taught
	if err := json.NewDecoder(io.LimitReader(f, reportLimit)).Decode(&r); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "the report of teaching cannot be read: "+err.Error())
		return
	}
	for i := range r.Doubted {
		r.Doubted[i].File = sampleOf(r.Doubted[i].File)
	}
	for i := range r.After.Worst {
		r.After.Worst[i].File = sampleOf(r.After.Worst[i].File)
	}
	answer(w, http.StatusOK, r)
}

// teachReportFile is the report as a page of its own, to be kept: its inline style would not pass
// the policy of this site, so it is a file.
func (p *Page) teachReportFile(w http.ResponseWriter, r *http.Request) {
	f, ok := p.openReport(w, "report.html")
	if !ok {
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="teaching.html"`)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// openReport opens a file of the report; false: it has answered why there is none. Reports hold
// pictures.
func (p *Page) openReport(w http.ResponseWriter, name string) (*os.File, bool) {
	if !p.about.Pictures {
		refuse(w, http.StatusForbidden, "pictures are switched off: http.pictures")
		return nil, false
	}
	f, err := p.agent.Teacher().Report(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, http.StatusNotFound, "there is no report: nothing was taught yet")
	case err != nil:
		refuse(w, http.StatusInternalServerError, fmt.Sprintf("the report of teaching: %v", err))
	}
	return f, err == nil
}

// sampleOf is the name of a sample whose file is at path: folders of the device are nobody's business.
func sampleOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".png") }

// share is a part of a whole, with its 95 % interval.
type share struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Of    int     `json:"of"`
}

// mistake is a picture that was answered otherwise than it is marked.
type mistake struct {
	File   string  `json:"file"` // name of the sample
	Label  string  `json:"label"`
	Answer string  `json:"answer"`
	Score  float64 `json:"score"`
}

// taught is what the page draws of report.json of 'teach'; unknown keys are left out.
type taught struct {
	Verdict  string   `json:"verdict"`
	Method   string   `json:"method"`
	Labels   []string `json:"labels"`
	Added    []string `json:"added"`
	Recalled []string `json:"recalled"`
	Pictures int      `json:"pictures"`
	Copies   int      `json:"copies"`
	Groups   int      `json:"groups"`
	After    struct {
		Top1    *share `json:"top1"`
		Classes []struct {
			Label     string `json:"label"`
			Recall    share  `json:"recall"`
			Precision share  `json:"precision"`
		} `json:"classes"`
		Confusions []struct {
			From     int `json:"from"` // in Labels
			To       int `json:"to"`   // -1: no number
			Pictures int `json:"pictures"`
		} `json:"confusions"`
		Worst   []mistake `json:"worst"`
		Against *struct {
			Top1 *share `json:"top1"`
		} `json:"against"`
	} `json:"after"`
	Curve []struct {
		Pictures int   `json:"pictures"`
		Top1     share `json:"top1"`
	} `json:"learning_curve"`
	Doubted  []mistake `json:"doubted"`
	Missed   []string  `json:"missed"`
	Findings []struct {
		Severity string `json:"severity"`
		Check    string `json:"check"`
		Evidence string `json:"evidence"`
		Cure     string `json:"cure"`
	} `json:"findings"`
}
