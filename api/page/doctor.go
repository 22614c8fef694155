package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Finding is what one check of the machine and of the settings has to say.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Found  string `json:"found"`
	Cure   string `json:"cure"` // empty where all is well
}

const (
	examinePatience = time.Minute      // for all checks together
	examineBetween  = 10 * time.Second // of two examinations, at least
)

// checkup is the last examination. One is made at a time, and only on request.
type checkup struct {
	busy sync.Mutex // held while one is made

	mu       sync.Mutex // guards what follows
	at       time.Time
	findings []Finding
}

// examine makes an examination, and remembers what was found.
func (p *Page) examine(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	if err := decode(r, &struct{}{}); err != nil {
		return "", "", err
	}
	c := &p.checkup
	if !c.busy.TryLock() {
		return "", "", errors.New("the device is being examined already")
	}
	defer c.busy.Unlock()
	c.mu.Lock()
	since := time.Since(c.at)
	c.mu.Unlock()
	if since < examineBetween {
		return "", "", fmt.Errorf("the device was examined %s ago", since.Round(time.Second))
	}
	ctx, cancel := context.WithTimeout(r.Context(), examinePatience)
	defer cancel()
	findings, err := p.agent.Examine(ctx)
	if err != nil {
		return "", "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.findings = time.Now(), findings
	return "device examined", "", nil
}

// examined tells what the last examination has found; at is 0 where there was none.
func (p *Page) examined(w http.ResponseWriter, _ *http.Request) {
	c := &p.checkup
	c.mu.Lock()
	defer c.mu.Unlock()
	out := struct {
		At       int64     `json:"at"` // ms
		Findings []Finding `json:"findings"`
	}{Findings: []Finding{}}
	if !c.at.IsZero() {
		out.At, out.Findings = c.at.UnixMilli(), c.findings
	}
	answer(w, http.StatusOK, out)
}
