package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/verify"
)

// TestVerifyOnTheRest: a device that fetched one model file, and no goldens because they are pictures,
// activates it; one that answers the same to everything is refused there, too.
func TestVerifyOnTheRest(t *testing.T) {
	needRuntime(t)
	at, agent := deviceOf(t)
	for name, zero := range map[string]bool{"parts": false, "zero": true} {
		secondFile(t, at(name), zero)
	}
	agent(exitDone, "", "release", "keygen", "--out", at("k"), "--no-password")
	sign := []string{"release", "sign", at("parts"), "--key", at("k.key"), "--release", "1", "--out", at("stick")}
	agent(exitDone, "left out, for they are pictures: golden", sign...)
	agent(exitDone, "not on this device: fp32, golden", "release", "pull", at("stick"), "--files", "fp16")
	sum, err := bundle.Digest(at("parts"))
	if err != nil {
		t.Fatal(err)
	}
	agent(exitDone, "it answers with numbers, twice the same", "model", "activate", sum)
	var v verify.Verdict
	out := agent(exitDone, "", "verify", filepath.Join(at("state"), "models", sum), "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.OK || v.Pairs != 0 || v.Precision != "fp16" ||
		v.Golden != verify.OriginNothing {
		t.Errorf("verify: %s, %v", out, err)
	}
	sign[2], sign[len(sign)-1] = at("zero"), at("zero.tar")
	agent(exitDone, "", sign...)
	agent(exitDone, "", "release", "pull", at("zero.tar"), "--files", "fp16")
	if sum, err = bundle.Digest(at("zero")); err != nil {
		t.Fatal(err)
	}
	agent(exitGate, "gives the same answer to different pictures", "model", "activate", sum)
}

// secondFile is the demo with a file for another precision beside FP32: the same network, or one whose
// last layer is zero.
func secondFile(t *testing.T, dir string, zero bool) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(demoBundleDir(t))); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(filepath.Join(dir, "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if last := len(m.Graph.Initializers) - 2; zero {
		for i := range m.Graph.Initializers[last:] {
			w := &m.Graph.Initializers[last+i]
			w.Data = make([]byte, len(w.Data))
		}
	}
	f, err := bundle.WriteFile(t.Context(), dir, "fp16.onnx", io.Discard, func(w io.Writer) error {
		return onnx.Write(w, m)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.Files[bundle.FileFP16] = f
	if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
		t.Fatal(err)
	}
}
