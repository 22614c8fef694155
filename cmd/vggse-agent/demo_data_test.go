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

func TestDemoData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	args := []string{"demo-data", "--out", dir, "--n", "15", "--seed", "3", "--size", "128x72", "--json"}
	var stdout, stderr bytes.Buffer
	if code := execute(context.Background(), args, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	var said struct {
		Images  int
		Classes []string
	}
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil || said.Images != 15 || len(said.Classes) != 13 {
		t.Errorf("got %s (%v)", stdout.String(), err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.png"))
	if err != nil || len(files) != 15 {
		t.Errorf("%d files, %v", len(files), err)
	}
	stderr.Reset()
	if code := execute(context.Background(), args, &stdout, &stderr); code != exitFailed ||
		!strings.Contains(stderr.String(), "exists already") {
		t.Errorf("a second time: exit %d, %q", code, stderr.String())
	}
}

func TestDemoDataRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pictures")
	for _, args := range [][]string{
		{}, {"--out", out, "--n", "0"}, {"--out", out, "--size", "320"}, {"--out", out, "--size", "320x180x3"},
		{"--out", out, "--size", "90x160"}, {"--out", out, "--jobs", "0"}, {"--out", out, "extra"},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(context.Background(), append([]string{"demo-data"}, args...), &stdout,
			&stderr); code != exitUsage {
			t.Errorf("%q: exit %d, want %d (%s)", args, code, exitUsage, stderr.String())
		}
		if n := strings.Count(strings.TrimSpace(stderr.String()), "\n"); n > 0 || stdout.Len() > 0 {
			t.Errorf("%q: said %q and %q, want one line", args, stdout.String(), stderr.String())
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused command left a folder")
	}
}

func TestDemoDataStoppedLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	parent := t.TempDir()
	var stdout, stderr bytes.Buffer
	if code := execute(ctx, []string{"demo-data", "--out", filepath.Join(parent, "pictures")}, &stdout,
		&stderr); code != exitFailed {
		t.Errorf("exit %d, want %d", code, exitFailed)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
