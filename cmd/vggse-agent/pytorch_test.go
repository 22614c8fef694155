package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func pictureAnswers(t *testing.T, path string) map[string][]float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][]float64
	if err := json.Unmarshal(text, &answers); err != nil || len(answers) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	return answers
}

// The daemon says of picture.png what PyTorch ranks first, for a checkpoint of the article's class
// and one of torchvision's.
func TestImportedRunsInTheDaemon(t *testing.T) {
	needRuntime(t)
	broker := startMosquitto(t)
	lines := broker.subscribe(t, "vggse/edge/+/classification")
	names := []string{"a", "b", "c", "d", "e"}
	for file, want := range pictureAnswers(t, checkpoints+"picture.json") {
		dir := filepath.Join(t.TempDir(), "bundle")
		if code, _, stderr := agentCmd(t, "import", checkpoints+file, "--labels", strings.Join(names, ","),
			"--preprocess", "torchvision", "--input", "64", "--out", dir); code != exitDone {
			t.Fatalf("%s: exit %d: %s", file, code, stderr)
		}
		camera, _, _ := strings.Cut(file, ".")
		agent := startAgent(t, "run", "--bundle", dir, "--broker", "tcp://"+broker.addr(), "--log-level", "error",
			"--set", "device.id=edge",
			"--set", "cameras.0.name="+camera, "--set", "cameras.0.source=file://"+
				absolute(t, checkpoints+"picture.png")+"?loop=true", "--set", "decide.threshold=0.1", "--set",
			"http.listen=")
		await(t, lines, "vggse/edge/"+camera+"/classification "+names[slices.Index(want, slices.Max(want))])
		if err := agent.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
