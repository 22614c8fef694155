package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/release"
)

// fakeHawkbit speaks the part of the DDI API that a device needs, as its documentation describes it.
type fakeHawkbit struct {
	mu       sync.Mutex
	url      string
	links    map[string]string // of the base, to what is behind them
	answers  map[string]any    // by path
	files    map[string][]byte
	feedback []string // execution and result, in their order
	details  string   // of the last
}

func (f *fakeHawkbit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const base = "/DEFAULT/controller/v1/edge-01"
	switch path := strings.TrimPrefix(r.URL.Path, base); {
	case r.Header.Get("Authorization") != "TargetToken s3cret":
		w.WriteHeader(http.StatusUnauthorized)
	case f.files[r.URL.Path] != nil:
		_, _ = w.Write(f.files[r.URL.Path])
	case path == "":
		links := map[string]any{}
		for name, to := range f.links {
			links[name] = map[string]string{"href": f.url + base + to}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"_links": links,
			"config": map[string]any{"polling": map[string]string{"sleep": "00:00:30"}}})
	case strings.HasSuffix(path, "/feedback") && r.Method == http.MethodPost:
		var told struct {
			Status struct {
				Execution string
				Result    struct{ Finished string }
				Details   []string
			}
		}
		_ = json.NewDecoder(r.Body).Decode(&told)
		f.feedback = append(f.feedback, told.Status.Execution+" "+told.Status.Result.Finished)
		f.details = strings.Join(told.Status.Details, " ")
	case path == "/configData" && r.Method == http.MethodPut:
		f.feedback = append(f.feedback, "attributes")
	case f.answers[path] != nil:
		_ = json.NewEncoder(w).Encode(f.answers[path])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestHawkbit: with the example's client a device does what hawkBit wants where a trusted key signed
// it, and says so; what is wrong is a failure with its reason, and changes nothing.
func TestHawkbit(t *testing.T) {
	work := t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	must := func(args ...string) { t.Helper(); mustAgent(t, args...) }
	if err := os.CopyFS(at("bundle"), os.DirFS(demoBundleDir(t))); err != nil {
		t.Fatal(err)
	}
	must("release", "keygen", "--out", at("k"), "--no-password")
	must("release", "keygen", "--out", at("other"), "--no-password")
	must("release", "sign", at("bundle"), "--release", "7", "--key", at("k.key"), "--out", at("parts"))
	must("release", "sign", at("bundle"), "--release", "8", "--key", at("k.key"), "--out", at("good.tar"))
	must("release", "sign", at("bundle"), "--release", "9", "--key", at("other.key"), "--out", at("foreign.tar"))
	f := &fakeHawkbit{links: map[string]string{}, answers: map[string]any{}, files: map[string][]byte{}}
	s := httptest.NewServer(f)
	defer s.Close()
	f.url = s.URL
	for _, name := range []string{"good.tar", "foreign.tar"} {
		text, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		f.files["/files/"+name] = text
	}
	for name, text := range map[string]string{"token": "s3cret\n", "agent.yaml": fmt.Sprintf(
		"state_dir: %s\nmodel: {trust: %s}\nupdate: {from: %s}\n", at("state"), at("trust"), work)} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(at("trust"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at("k.pub"), at("trust/k.pub")); err != nil {
		t.Fatal(err)
	}
	artefact := func(name, href string) map[string]any {
		sum := sha256.Sum256(f.files["/files/"+name])
		return map[string]any{"filename": name, "size": len(f.files["/files/"+name]),
			"hashes": map[string]string{"sha256": hex.EncodeToString(sum[:])},
			"_links": map[string]any{"download-http": map[string]string{"href": href}}}
	}
	wrong := artefact("good.tar", s.URL+"/files/good.tar")
	wrong["hashes"] = map[string]string{"sha256": strings.Repeat("0", 64)}
	for i, c := range []struct {
		what, link string
		chunks     []any
		want, says string
		release    int64 // that is active afterwards
	}{
		{"a reference", "deploymentBase", []any{map[string]any{"name": "parts", "version": "7"}},
			"proceeding none, closed success", "parts release 7", 7},
		{"an artefact", "deploymentBase", []any{map[string]any{"name": "parts", "version": "8",
			"artifacts": []any{artefact("good.tar", s.URL+"/files/good.tar")}}},
			"proceeding none, closed success", "parts release 8", 8},
		{"signed by nobody known here", "deploymentBase", []any{map[string]any{"name": "parts", "version": "9",
			"artifacts": []any{artefact("foreign.tar", s.URL+"/files/foreign.tar")}}},
			"proceeding none, closed failure", "is not trusted here", 8},
		{"another server", "deploymentBase", []any{map[string]any{"name": "parts", "version": "8",
			"artifacts": []any{artefact("good.tar", "http://localhost:1/files/good.tar")}}},
			"proceeding none, closed failure", "names another one", 8},
		{"another content", "deploymentBase", []any{map[string]any{"name": "parts", "version": "8",
			"artifacts": []any{wrong}}}, "proceeding none, closed failure", "is not what hawkBit says", 8},
		{"two modules", "deploymentBase", []any{map[string]any{}, map[string]any{}}, "proceeding none, closed failure",
			"2 software modules", 8},
		{"a release that is not there", "deploymentBase", []any{map[string]any{"name": "parts", "version": "99"}},
			"proceeding none, closed failure", "it has no release 99", 8},
		{"a cancellation", "cancelAction", nil, "closed success", "stays", 8},
		{"attributes", "configData", nil, "attributes", "", 8},
	} {
		f.mu.Lock()
		f.links, f.feedback, f.details = map[string]string{c.link: "/" + c.link}, nil, ""
		f.answers = map[string]any{
			"/deploymentBase": map[string]any{"id": fmt.Sprint(i), "deployment": map[string]any{"chunks": c.chunks}},
			"/cancelAction":   map[string]any{"id": "1", "cancelAction": map[string]string{"stopId": "1"}}}
		f.mu.Unlock()
		cmd := exec.Command("python3", "../../docs/examples/hawkbit.py", "--url", s.URL, "--id", "edge-01",
			"--token-file", at("token"), "--agent", os.Args[0], "--once", "--config", at("agent.yaml"))
		cmd.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", c.what, err, out)
		}
		if got := strings.Join(f.feedback, ", "); got != c.want || !strings.Contains(f.details, c.says) {
			t.Errorf("%s: hawkBit heard %q, %q, want %q and %q", c.what, got, f.details, c.want, c.says)
		}
		active, _, err := store.At(at("state")).Active()
		if err != nil {
			t.Fatal(err)
		}
		if signed, err := release.ReadSigned(active.Dir); err != nil || signed.Statement.Release != c.release {
			t.Errorf("%s: %+v, %v is active, want release %d", c.what, signed, err, c.release)
		}
	}
}
