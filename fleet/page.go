package fleet

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// pageTemplate shows the devices of a fleet. Texts of devices are escaped.
var pageTemplate = template.Must(template.New("fleet").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Fleet</title>
<style>body{font:15px system-ui;margin:1.5em}table{border-collapse:collapse}td,th{padding:.25em .8em;text-align:left;
border-bottom:1px solid #ddd}.bad{color:#b00020}.away{color:#777}</style></head><body>
<h1>{{len .Devices}} devices{{with .Group}} of {{.}}{{end}}</h1>
{{with .Trouble}}<p class="bad">{{.}}</p>{{end}}
{{with .Progress}}{{if .State}}<p>{{.Rollout}}: {{.State}}, wave {{.Wave}} of {{.Waves}}: {{.Asked}} asked,
{{.Moved}} moved, {{.Busy}} on their way, {{.Waiting}} waiting, {{.Failed}} failed. {{.Reason}}</p>{{end}}{{end}}
<table><tr><th>device<th>groups<th>there<th>health<th>release<th>model<th>update</tr>
{{range .Devices}}<tr{{if not .Online}} class="away"{{end}}><td>{{.ID}}<td>{{range .Groups}}{{.}} {{end}}
<td>{{if .Online}}online{{else}}away{{end}}<td{{if ne .Health "ok"}} class="bad"{{end}}>{{.Health}} {{.Trouble}}
<td>{{with .Name}}{{.}}:{{end}}{{with .Release}}{{.}}{{end}}{{if .Local}} local{{end}}<td>{{.Model}}
<td{{if eq .State "failed"}} class="bad"{{end}}>{{.State}} {{.Reason}}</tr>
{{end}}</table></body></html>
`))

// CheckListen refuses an address that others than this machine reach: the page asks nobody who he is.
func CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("must be host:port, got %q", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s is reached from elsewhere, and the page asks nobody who he is: listen on 127.0.0.1, "+
			"behind a proxy that does", address)
	}
	return nil
}

// Serve shows what the broker says of all devices, or those of a group, on a page, until ctx ends.
func Serve(ctx context.Context, o Options, on net.Listener) error {
	var mu sync.Mutex
	trouble := "connecting"
	told := o.Trouble
	o.Trouble = func(err error) {
		mu.Lock()
		trouble = ""
		if err != nil {
			trouble = "the broker is away: " + err.Error()
		}
		mu.Unlock()
		if told != nil {
			told(err)
		}
	}
	g, closeBus, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer closeBus()
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now := trouble
			mu.Unlock()
			g.page(w, r, now)
		})}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}

// page answers one request. A name that is not this machine's own is refused: a page elsewhere could
// else read it through a browser.
func (g *room) page(w http.ResponseWriter, r *http.Request, trouble string) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		http.Error(w, "ask for 127.0.0.1 or localhost", http.StatusForbidden)
		return
	}
	if r.URL.Path != "/" || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	g.mu.Lock()
	devices, p := g.board.devices(g.Group), Progress{}
	if g.rollout != nil && g.Group != "" {
		p = g.progress(devices, g.Now())
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	_ = pageTemplate.Execute(w, struct { // whoever asked may be gone
		Group, Trouble string
		Devices        []*Device
		Progress       Progress
	}{g.Group, trouble, devices, p})
}
