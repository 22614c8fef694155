package fleet

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
)

// TestPage: the page shows devices and rollout, what devices say is text, and nobody else's page reads
// it.
func TestPage(t *testing.T) {
	_, ids := group(3)
	r := newRollout(target, plan, &old, 1, ids, noon)
	g := &room{Options: Options{Group: "line3", Now: func() time.Time { return noon }}, board: newBoard("vggse"),
		rollout: &r}
	for topic, payload := range map[string]string{"vggse/e1/available": "online",
		"vggse/e1/info":   `{"groups":["line3"],"release":{"name":"parts","number":7},"model":{"name":"<b>x"}}`,
		"vggse/e1/update": `{"state":"failed","name":"parts","release":9,"reason":"<script>"}`} {
		g.board.take(mqtt.Message{Topic: topic, Payload: []byte(payload)})
	}
	for _, c := range []struct {
		host, path string
		code       int
	}{{"127.0.0.1:9109", "/", 200}, {"localhost:9109", "/", 200}, {"[::1]:9109", "/", 200},
		{"evil.example", "/", 403}, {"127.0.0.1:9109", "/x", 404}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", c.path, nil)
		r.Host = c.host
		g.page(w, r, "")
		if w.Code != c.code {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, w.Code, c.code)
		}
		body := w.Body.String()
		for text, want := range map[string]bool{"parts:7": true, "parts:8: running, wave 1 of 3": true,
			"&lt;script&gt;": true, "<script>": false, "<b>": false} {
			if c.code == 200 && strings.Contains(body, text) != want {
				t.Errorf("%s: %q is there: %v\n%s", c.host, text, !want, body)
			}
		}
	}
	const away = "is reached from elsewhere"
	for address, want := range map[string]string{"127.0.0.1:0": "", "localhost:9109": "", "[::1]:9109": "",
		":9109": away, "192.0.2.1:9109": away, "9109": "must be host:port"} {
		err := CheckListen(address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
