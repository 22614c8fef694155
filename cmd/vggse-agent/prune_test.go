package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se"
)

// A bundle gets smaller, and what comes out is a bundle like any other: summary counts it, verify
// finds it right.
func TestPrune(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	bundleDir, images, small := filepath.Join(dir, "b"), filepath.Join(dir, "images"), filepath.Join(dir, "small")
	for _, args := range [][]string{
		{"new", "--out", bundleDir, "--input", "32", "--width", "0.25", "--hidden", "24", "--pool", "2", "--classes",
			"13", "--attention", "scse"},
		{"demo-data", "--out", images, "--n", "52", "--size", "80x64"},
	} {
		if code, _, stderr := agentCmd(t, args...); code != exitDone {
			t.Fatalf("%v: exit %d: %s", args, code, stderr)
		}
	}
	code, stdout, stderr := agentCmd(t, "prune", bundleDir, "--images", images, "--target", "1.5x", "--step", "8",
		"--seconds", "0", "--fit-l1", "--out", small, "--json")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r prune.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Fitted < 32 || r.HeldOut != 10 || len(r.Ways) != 6 || r.After.MACs*3 > r.Before.MACs*2 ||
		r.After.Bytes >= r.Before.Bytes || r.Latency.Before <= 0 {
		t.Errorf("report: %s", stdout)
	}
	for _, l := range r.Layers {
		if l.BeforeMS <= 0 || l.AfterMS <= 0 || l.AfterMS > l.BeforeMS {
			t.Errorf("%s: %d of %d channels in %g of %g ms", l.Layer, l.After, l.Before, l.AfterMS, l.BeforeMS)
		}
	}
	code, stdout, stderr = agentCmd(t, "summary", "--json", small)
	var s vgg16se.Summary
	if err := json.Unmarshal([]byte(stdout), &s); code != exitDone || err != nil || s.MACs != r.After.MACs ||
		s.Parameters != r.After.Parameters {
		t.Errorf("summary: exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if v := verified(t, exitDone, small); !v.OK || v.Golden != verify.OriginReference {
		t.Errorf("verify: %+v", v)
	}
	if page, err := os.ReadFile(filepath.Join(small, "report.html")); err != nil || !strings.Contains(string(page),
		r.After.Architecture) {
		t.Errorf("report.html: %v", err)
	}
}

// A mistake costs one clear sentence, and leaves nothing behind.
func TestPruneRefuses(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	out, demo := filepath.Join(dir, "out"), "../../demo/bundle"
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "one of --target", []string{demo, "--images", dir, "--out", out}},
		{exitUsage, "one of --target", []string{demo, "--images", dir, "--out", out, "--target", "2x", "--budget",
			"1pt"}},
		{exitUsage, "factor above 1", []string{demo, "--images", dir, "--out", out, "--target", "half"}},
		{exitUsage, "points above 0", []string{demo, "--images", dir, "--out", out, "--budget", "0pt"}},
		{exitUsage, "multiple of 8", []string{demo, "--images", dir, "--out", out, "--target", "2x", "--step", "12"}},
		{exitFailed, "not a bundle", []string{dir, "--images", dir, "--out", out, "--target", "2x"}},
		{exitFailed, "no picture", []string{demo, "--images", dir, "--out", out, "--target", "2x"}},
		{exitFailed, "not empty", []string{demo, "--images", dir, "--out", "../../importer/testdata", "--target",
			"2x"}},
	} {
		code, _, stderr := agentCmd(t, append([]string{"prune"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d, %s; want %d, …%s…", c.args, code, stderr, c.code, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
