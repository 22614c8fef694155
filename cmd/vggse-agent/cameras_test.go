package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

func TestCamerasTest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	code, out, stderr := agentCmd(t, "cameras", "test", "demo://parts?width=320&height=180&fps=100&seed=3", "--frames",
		"5", "--save", dir, "--json")
	var got camera.Measurement
	if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, stderr)
	}
	if got.Frames != 5 || got.Asked != "320x180 at 100 frames/s" || got.Got != "320x180 through demo" ||
		got.AgeMS != nil || got.FPS <= 0 || got.FPS > 210 {
		t.Errorf("%+v", got)
	}
	var saved, want vision.Frame
	if err := camera.ReadImage(filepath.Join(dir, "frame-0005.png"), &saved); err != nil {
		t.Fatal(err)
	}
	demo.NewScene(3, 320, 180).Render(4, &want)
	if string(saved.Pix) != string(want.Pix) {
		t.Error("the fifth picture is not the scene's")
	}
	code, out, _ = agentCmd(t, "cameras", "test", filepath.Join(dir, "frame-0001.png"), "--frames", "9")
	if code != exitDone || !strings.Contains(out, "frames       1, 0.0 a second") ||
		!strings.Contains(out, "got          320x180 through ") {
		t.Errorf("one picture: exit %d\n%s", code, out)
	}
}

func TestCamerasRefuse(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"cameras", "tset"}, exitUsage, `unknown verb "tset", did you mean test?`},
		{[]string{"cameras", "test"}, exitUsage, "one URI"},
		{[]string{"cameras", "test", "demo://", "--frames", "0"}, exitUsage, "--frames must be at least 1"},
		{[]string{"cameras", "test", "demo://?x=y"}, exitUsage, "unknown key"},
		{[]string{"cameras", "test", "/nowhere.png"}, exitFailed, "there is no file /nowhere.png"},
	} {
		if code, out, stderr := agentCmd(t, tt.args...); code != tt.code || out != "" ||
			!strings.Contains(stderr, tt.want) {
			t.Errorf("%v: exit %d, %q, want %d and %q", tt.args, code, stderr, tt.code, tt.want)
		}
	}
}

// Whatever is plugged in here, the list is one JSON object a line.
func TestCamerasList(t *testing.T) {
	code, out, stderr := agentCmd(t, "cameras", "--json")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if _, err := os.Stat("/sys/class/video4linux"); err != nil &&
		(out != "" || !strings.Contains(stderr, "no camera is plugged in here")) {
		t.Errorf("a machine without cameras: %q, %q", out, stderr)
	}
	for line := range strings.Lines(out) {
		var d camera.Device
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.Path == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}
