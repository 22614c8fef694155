package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/eval"
)

// TestMain lets the test binary stand in for the program, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_VGGSE_AGENT") != "" || worker.Asked(os.Args) ||
		len(os.Args) > 1 && (os.Args[1] == lookVerb || os.Args[1] == foreignVerb) {
		if os.Getenv(thenSignals) != "" {
			code := execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
			signalThreads()
			os.Exit(code)
		}
		main()
	}
	state, err := os.MkdirTemp("", "vggse-state")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_STATE_HOME", state) // a model that is active on this machine is no part of the tests
	code := m.Run()
	os.RemoveAll(state)
	os.Exit(code)
}

// agentCmd runs one command line in this process.
func agentCmd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// mustAgent runs a verb that has to succeed.
func mustAgent(t *testing.T, args ...string) {
	t.Helper()
	if code, _, stderr := agentCmd(t, args...); code != exitDone {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
}

// seededBundle makes a small bundle with random weights.
func seededBundle(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	code, _, stderr := agentCmd(t, "new", "--out", dir, "--classes", "3", "--width", "0.125", "--input", "32",
		"--hidden", "16", "--pool", "1", "--reduction", "4", "--seed", "7")
	if code != exitDone {
		t.Fatalf("new: exit %d: %s", code, stderr)
	}
	return dir
}

func TestExitCodes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("mqtt: {brokr: x}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--help"}, exitDone, ""},
		{[]string{"rum"}, exitUsage, `unknown verb "rum", did you mean run?`},
		{[]string{"frobnicate"}, exitUsage, `unknown verb "frobnicate"`},
		{[]string{"run", "--nonsense"}, exitUsage, "unknown flag: --nonsense"},
		{[]string{"import", "x.onnx", "--label", "a,b"}, exitUsage, "unknown flag: --label, did you mean --labels?"},
		{[]string{"run", "-bundle", "x"}, exitUsage, "unknown flag: -bundle, did you mean --bundle?"},
		{[]string{"cameras", "test", "-1"}, exitUsage, "unknown flag: -1 (see"},
		{[]string{"model", "lst"}, exitUsage, `unknown verb "lst", did you mean list?`},
		{[]string{"clasify", "--bundle", "x"}, exitUsage, `unknown verb "clasify", did you mean classify?`},
		{[]string{"class"}, exitUsage, `unknown verb "class", did you mean classify?`},
		{[]string{"classify", "-"}, exitFailed, "standard input is not read, save the picture to a file first"},
		{[]string{"classify", "/dev/null"}, exitFailed, "/dev/null: is a pipe or a device"},
		{[]string{"run", "--bundle", ""}, exitUsage, "--bundle is given without a DIR, as by an empty variable"},
		{[]string{"import", "x.onnx", "--labels="}, exitUsage, "--labels is given without a "},
		{[]string{"run", "extra"}, exitUsage, `run wants no arguments, got "extra", did you mean --source extra?`},
		{[]string{"demo-data", "a", "b"}, exitUsage, `demo-data wants no arguments, got "a"`},
		{[]string{"cameras", "test", "a", "b"}, exitUsage, "test wants one URI, got 2 arguments"},
		{[]string{"cameras", "test"}, exitUsage, "test wants one URI, got none"},
		{[]string{"--version"}, exitDone, ""},
		{[]string{"classify"}, exitUsage, "classify wants pictures"},
		{[]string{"summary"}, exitUsage, "summary wants"},
		{[]string{"check-config", bad}, exitConfig, "mqtt.brokr: unknown key, did you mean mqtt.broker?"},
		{[]string{"run", "--config", bad}, exitConfig, "did you mean mqtt.broker?"},
		{[]string{"run", "--source", "carrier-pigeon://3"}, exitConfig, "cameras[0].source"},
		{[]string{"run", "--config", "/nowhere/x.yaml"}, exitConfig, "/nowhere/x.yaml"},
		{[]string{"run", "--bundle", "/nowhere", "--log-level", "error"}, exitFailed, "there is no folder /nowhere"},
		{[]string{"classify", "--bundle", "/nowhere", "/nowhere.png"}, exitFailed, "/nowhere.png: no such picture"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			code, _, stderr := agentCmd(t, test.args...)
			if code != test.code || !strings.Contains(stderr, test.stderr) {
				t.Errorf("exit %d, stderr %q; want %d and %q", code, stderr, test.code, test.stderr)
			}
			if strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
				t.Errorf("stderr %q: want one sentence", stderr)
			}
		})
	}
}

func TestClassify(t *testing.T) {
	bundleDir := seededBundle(t)
	pictures := filepath.Join(t.TempDir(), "pictures")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", pictures, "--n", "13", "--seed", "5"); code != exitDone {
		t.Fatalf("demo-data: %s", stderr)
	}
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", bundleDir, "--json", "--logits", pictures)
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 13 {
		t.Fatalf("%d lines, want 13", len(lines))
	}
	for _, line := range lines {
		var a eval.ImageAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if len(a.Top) != 3 || len(a.Logits) != 3 || a.Provider != "cpu" || a.Precision != "fp32" || a.LatencyMS <= 0 ||
			!strings.HasPrefix(a.File, pictures) || a.Top[0].Score < a.Top[1].Score {
			t.Errorf("answer %+v", a)
		}
	}
}

// Films and streams are classified frame by frame, pictures beside them as before; a source that
// cannot be opened does not end the others.
func TestClassifyFilmsAndStreams(t *testing.T) {
	bundleDir := seededBundle(t)
	film := cameratest.Video(t, "a b#1.mp4", 10, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
	picture := filepath.Join("..", "..", "vgg16se", "testdata", "picture.png")
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", bundleDir, "--csv", "--top", "2", "--logits",
		"--every", "4", "--frames", "3", picture, "file:///nowhere/film.mp4", film, "demo://parts?speed=max")
	if code != exitFailed || !strings.Contains(stderr, "/nowhere/film.mp4") || !strings.Contains(stderr, "1 of 4") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	got := ""
	for _, row := range rows {
		got += filepath.Base(row[0]) + " " + row[1] + "\n"
		if len(row) != 6+2*2+3 {
			t.Errorf("%d columns: %v", len(row), row)
		}
	}
	want := "file frame\npicture.png \n" + "a b#1.mp4 1\na b#1.mp4 5\na b#1.mp4 9\n" +
		"parts?speed=max 1\nparts?speed=max 5\nparts?speed=max 9\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if code, stdout, _ = agentCmd(t, "classify", "--bundle", bundleDir, "--json", film); code != exitDone ||
		strings.Count(stdout, `"frame":`) != 10 {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// Of a film that is cut off what is there is classified, and the exit code is that of a damaged picture;
// cameras test warns, of the whole as of its beginning.
func TestCutFilm(t *testing.T) {
	film := cameratest.CutFilm(t, 20)
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", seededBundle(t), "--json", film)
	if n := strings.Count(stdout, `"frame":`); code != exitFailed || n < 5 || n > 12 ||
		strings.Count(stderr, film+" is cut off: it holds ") != 1 ||
		!strings.Contains(stderr, "the source could not be classified to its end") {
		t.Errorf("exit %d, %d frames: %s", code, n, stderr)
	}
	for _, frames := range []string{"2", "30"} {
		code, stdout, stderr = agentCmd(t, "cameras", "test", "file://"+film, "--frames", frames)
		if code != exitDone || strings.Count(stdout, film+" is cut off: it holds ") != 1 {
			t.Errorf("%s: exit %d: %s%s", frames, code, stdout, stderr)
		}
	}
}

// A bundle among the pictures, where other verbs take theirs, is told as one.
func TestClassifyBundleForPictures(t *testing.T) {
	bundleDir := seededBundle(t)
	picture := filepath.Join("..", "..", "vgg16se", "testdata", "picture.png")
	for _, args := range [][]string{{bundleDir, picture}, {picture, bundleDir}, {"--bundle", bundleDir, bundleDir}} {
		code, _, stderr := agentCmd(t, append([]string{"classify"}, args...)...)
		want := bundleDir + " is a bundle, not pictures: classify takes it as --bundle " + bundleDir
		if code != exitFailed || strings.Count(stderr, want) != 1 {
			t.Errorf("%q: exit %d: %s", args, code, stderr)
		}
	}
}

func TestClassifyNamesDamagedPicturesAndGoesOn(t *testing.T) {
	bundleDir := seededBundle(t)
	dir := t.TempDir()
	if code, _, stderr := agentCmd(t, "demo-data", "--out", filepath.Join(dir, "good"), "--n", "13", "--seed",
		"5"); code != exitDone {
		t.Fatal(stderr)
	}
	bad := filepath.Join(dir, "bad.png")
	if err := os.WriteFile(bad, []byte("\x89PNG\r\n\x1a\nnot really"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.webp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.png")
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", bundleDir, none, dir)
	if code != exitFailed || !strings.Contains(stderr, bad) || !strings.Contains(stderr, none+": no such picture") ||
		!strings.Contains(stderr, "2 of 15 pictures") ||
		!strings.Contains(stderr, "warning: other files: 1 .webp in "+dir) {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	if n := strings.Count(stdout, "\n"); n != 13 {
		t.Errorf("%d answers, want 13", n)
	}
}

// TestDamagedBundleAnswersNothing flips one byte of the weights.
func TestDamagedBundleAnswersNothing(t *testing.T) {
	bundleDir := seededBundle(t)
	path := filepath.Join(bundleDir, "fp32.onnx")
	weights, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	weights[len(weights)/2] ^= 1
	if err := os.WriteFile(path, weights, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	code := execute(ctx, []string{"run", "--bundle", bundleDir, "--source", "demo://parts", "--set",
		"http.listen=off"}, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "has SHA-256") {
		t.Errorf("exit %d, stderr %q", code, errs.String())
	}
	if strings.Contains(errs.String(), "broker") {
		t.Errorf("a broker was reached with a damaged network: %s", errs.String())
	}
}

func TestCheckConfigPrintsOriginsAndJSON(t *testing.T) {
	code, stdout, stderr := agentCmd(t, "check-config", "--set", "decide.confirm=9")
	if code != exitDone || !strings.Contains(stdout, "decide.confirm") || !strings.Contains(stdout, "# --set") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	_, stdout, _ = agentCmd(t, "check-config", "--json", "--set", "decide.confirm=9")
	var tree struct {
		Decide  struct{ Confirm int }
		Cameras []struct{ Source string }
	}
	if err := json.Unmarshal([]byte(stdout), &tree); err != nil || tree.Decide.Confirm != 9 || len(tree.Cameras) != 1 {
		t.Errorf("%v: %s", err, stdout)
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := agentCmd(t, "version", "--json")
	var v versions
	if err := json.Unmarshal([]byte(stdout), &v); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if v.ONNXRuntime != "1.27.0" || v.OpenCV == "" || v.Version == "" {
		t.Errorf("%+v", v)
	}
}

// What a terminal would obey is shown as what it is, wherever it came from.
func TestErrorsShowControlCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"x\x1b[31m.pth": `x\x1b[31m.pth`, "\x1b]0;title\x07": `\x1b]0;title\x07`,
		"a\rb": `a\x0db`, "c\u009b2J": `c\x9b2J`,
		"grün ✓": "grün ✓",
	} {
		_, _, stderr := agentCmd(t, "inspect", in)
		if !strings.Contains(stderr, want) || strings.ContainsAny(stderr, "\x1b\x07\r\u009b") {
			t.Errorf("%q: got %q, want %q in it", in, stderr, want)
		}
	}
}
