package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
)

// What run would fail on is no ok here: files that settings name are read.
func TestFilesAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"mqtt.tls.ca=/nope.pem": "mqtt.tls.ca", "mqtt.password_file=/nope": "mqtt.password_file",
		"http.token_file=/nope": "http.token_file",
	} {
		e, err := configs.Load(configs.Options{File: file,
			Set: []string{"mqtt.broker=ssl://127.0.0.1:1", "mqtt.user=u", set}})
		if err != nil {
			t.Fatal(err)
		}
		p := &Target{Config: &e.Config}
		all := append(checkBroker(t.Context(), p), checkFiles(t.Context(), p)...)
		found := false
		for _, f := range all {
			found = found || f.Status == Fail && strings.Contains(f.Found, want) && f.Cure != ""
		}
		if !found {
			t.Errorf("%s: %+v, want a failure that names %s", set, all, want)
		}
	}
}

// A page that others reach without TLS is told of, one with TLS or for this machine alone is not.
func TestPageWithoutTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]int{"0.0.0.0:9108": 1, "127.0.0.1:9108": 0, "off": 0} {
		e, err := configs.Load(configs.Options{File: os.DevNull,
			Set: []string{"http.listen=" + listen, "http.token_file=" + file}})
		if err != nil {
			t.Fatal(err)
		}
		all := checkFiles(t.Context(), &Target{Config: &e.Config})
		if len(all) != want || want == 1 && (all[0].Status != Warn || !strings.Contains(all[0].Found, "without TLS")) {
			t.Errorf("%s: %+v", listen, all)
		}
	}
}

// A camera that does not resolve, or is no picture, is no ok; one that is switched off is a warning.
func TestCamerasAreTried(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.png")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"rtsp://127.0.0.1:1/x": Warn, "rtsp://camera.invalid/x": Fail, "file://" + bad: Fail,
		"file://" + dir + "/none.png": Fail, "demo://parts": OK,
	} {
		c := configs.Config{Cameras: []configs.Camera{{
			Config: camera.Config{Name: "a", Source: source, Enabled: true}}}}
		all := checkCameras(context.Background(), &Target{Config: &c})
		if len(all) != 1 || all[0].Status != want || (want == OK) == (all[0].Cure != "") {
			t.Errorf("%s: %+v, want %s", source, all, want)
		}
	}
}
