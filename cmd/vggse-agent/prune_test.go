package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/prune"
)

// A bundle gets smaller: the report is on stdout, the bundle in its folder.
func TestPrune(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	images, small := filepath.Join(dir, "images"), filepath.Join(dir, "small")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", images, "--n", "26", "--size", "80x64"); code != exitDone {
		t.Fatal(stderr)
	}
	code, stdout, stderr := agentCmd(t, "prune", seededBundle(t), "--images", images, "--target", "1.2x", "--step", "8",
		"--seconds", "0", "--out", small, "--json")
	var r prune.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitDone || r.Asked != "1.2x" {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if _, err := bundle.Open(small); err != nil {
		t.Error(err)
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
		{exitUsage, "one of --target", []string{demo, "--images", dir, "--out", out, "--target", "2x", "--channels",
			"c.json"}},
		{exitFailed, "no such file", []string{demo, "--images", dir, "--out", out, "--channels", dir + "/c.json"}},
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
