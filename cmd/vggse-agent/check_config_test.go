package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The cameras of the documentation, with and without settings of their own, are all in the JSON.
func TestCheckConfigJSONHoldsEveryCamera(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	text := `cameras:
  - {name: door, source: /dev/video0, decide: {threshold: 0.8, dwell: 2s}, publish: {every: true}}
  - {name: yard, source: /dev/video2, publish: {heartbeat: 10m, max_rate: 1}}
  - {name: gate, source: "rtsp://u:geheim@h/x", roi: [a 0 0 0.5 1, b 0.5 0 0.5 1]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := execute(context.Background(), []string{"check-config", "--json", file}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var got struct {
		Cameras []struct {
			Name, Source    string
			ROI             []string
			Decide, Publish map[string]any
		}
		MQTT struct{ Publish map[string]any }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	c := got.Cameras
	if len(c) != 3 || c[0].Name != "door" || c[0].Decide["threshold"] != 0.8 || c[0].Publish["every"] != true ||
		c[1].Source != "/dev/video2" || c[1].Publish["max_rate"] != 1.0 || len(c[2].ROI) != 2 ||
		got.MQTT.Publish["every"] == nil {
		t.Errorf("%s", out.String())
	}
	if bytes.Contains(out.Bytes(), []byte("geheim")) {
		t.Errorf("a password is shown: %s", out.String())
	}
}

// What may not be meant is told beside the settings, with exit code 0, and by doctor.
func TestWarningsOfSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte("mqtt:\n  broker: embedded\n  password: # geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := file + ":3: mqtt.password is empty: the # begins a comment"
	code, out, errs := agentCmd(t, "check-config", file)
	if code != exitDone || strings.Count(errs, "warning: "+want) != 1 || strings.Contains(out+errs, "geheim") {
		t.Errorf("check-config: exit %d: %s", code, errs)
	}
	_, out, _ = agentCmd(t, "doctor", "--config", file)
	if !strings.Contains(out, "warn  settings") || strings.Count(out, want) != 1 {
		t.Errorf("doctor: %s", out)
	}
}
