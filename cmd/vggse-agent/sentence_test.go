package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"agent: camera belt: camera: open x.mp4: no file":            "agent: camera belt: open x.mp4: no file",
		"configs: a.yaml: cannot be read: open a.yaml: no such file": "configs: a.yaml: cannot be read: no such file",
		"agent: configs: c.yaml:4: mqtt: twice":                      "agent: c.yaml:4: mqtt: twice",
		"configs: c.yaml:2: samples: must hold keys":                 "configs: c.yaml:2: samples: must hold keys",
		"calibrate: quant: eval: camera: a.png: no picture":          "calibrate: a.png: no picture",
		"open a.yaml: no such file":                                  "open a.yaml: no such file",
		"bundle: x: mqtt":                                            "bundle: x: mqtt",
		"mqtt: mqtt.tls.ca: open /x: none":                           "mqtt: mqtt.tls.ca: open /x: none",
		"dial: context deadline exceeded":                            "dial: it took too long",
		"it is odd, nobody can read it: ask":                         "it is odd, nobody can read it: ask",
		"a":                                                          "a",
	} {
		if got := sentence(t.Context(), errors.New(text)); got != want {
			t.Errorf("%q is told as %q, want %q", text, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := fmt.Errorf("prune: %w", context.Canceled)
	if got := sentence(ctx, err); got != "prune: context canceled" {
		t.Errorf("nobody asked for an end: %q", got)
	}
	cancel()
	if got := sentence(ctx, err); got != "prune: interrupted" {
		t.Errorf("an end that was asked for: %q", got)
	}
}

// TestWhoIsNotThere: what does not exist is told by its name and what there is instead.
func TestWhoIsNotThere(t *testing.T) {
	bundle := seededBundle(t)
	state := "state_dir=" + t.TempDir()
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"help rnu", exitUsage, `unknown verb "rnu", did you mean run?`},
		{"help model activte", exitUsage, `unknown verb "activte", did you mean activate?`},
		{"completion foo", exitUsage, "completion wants one of bash, fish, powershell and zsh"},
		{"summary " + bundle + "/fp32.onnx", exitFailed, "is a file of a bundle: give its folder " + bundle},
		{"classify --bundle " + bundle + "/model.yaml x.png", exitFailed, ""},
		{"inspect " + bundle, exitFailed, "is a bundle: 'vggse-agent summary " + bundle + "' shows it"},
		{"import nowhere.pth --out x", exitFailed, "nowhere.pth: no such file"},
		{"calibrate --bundle " + bundle + " --images x", exitUsage, "calibrate wants --out DIR"},
		{"calibrate --out x --images x", exitUsage, "calibrate wants --bundle DIR"},
		{"bench " + bundle + " --threads -3", exitConfig, "infer.threads"},
		{"spool stat --set " + state, exitDone, "nothing has waited yet"},
		{"spool peek --set " + state, exitDone, "nothing has waited yet"},
		{"spool verify /nowhere", exitFailed, "/nowhere"},
		{"classify --bundle " + bundle + " --top 0 x.png", exitUsage, "--top must be at least 1, got 0"},
		{"features " + bundle + " --images . --out nodir/x", exitFailed, "there is no folder nodir"},
		{"new --out x --input 33x44", exitUsage, `--input must be a whole number, got "33x44"`},
		{"new --out x --seed -1", exitUsage, `--seed must be a whole number from 0 on, got "-1"`},
		{"new --out x --classes 9999999999999999999", exitUsage, "--classes must be a whole number that this machine"},
		{"new --out x --width wide", exitUsage, `--width must be a number, got "wide"`},
		{"new --out x --json=maybe", exitUsage, `--json must be true or false, got "maybe"`},
		{"new --out x --classes 0", exitUsage, "new: --classes must be at least 1, got 0"},
		{"new --out x --classes 1", exitUsage, "new: --classes must be at least 2, got 1"},
		{"new --out x --width -1", exitUsage, "--width must be more than 0, got -1"},
		{"new --out x --width nan", exitUsage, "--width must be more than 0, got NaN"},
		{"new --out x --width 65", exitUsage, "width must be > 0 and ≤ 64, got 65"},
		{"inspect x.vggse", exitFailed, "x.vggse is a packed bundle: "},
		{"import " + bundle + " --out x", exitFailed, bundle + " is a bundle already: classify, calibrate and"},
		{"evaluate " + bundle + " --images . --out " + bundle + "/model.yaml", exitFailed, "is a file: give a folder"},
		{"evaluate " + bundle + " --images . --out " + bundle, exitFailed, "is a bundle, whose report is that of"},
		{"features " + bundle + " --images . --out .", exitFailed, "--out . is a folder: give a file, such as"},
		{"spool stat " + bundle, exitFailed, "is no spool: no file of one lies in it"},
		{"spool repair " + bundle, exitFailed, "is no spool: no file of one lies in it"},
		{"spool repair " + bundle + "/model.yaml", exitFailed, "is no folder: give the folder spool"},
		{"release push " + bundle + " oci://h/x", exitUsage, "oci:// is left out here: write REGISTRY/NAME"},
		{"fleet rollout parts:8 --hold soon", exitUsage, `--hold must be a duration such as 90s, got "soon"`},
		{"fleet rollout parts:8 --hold 5", exitUsage, `--hold must be a duration such as 90s, got "5"`},
		{"spool peek -n all", exitUsage, `--limit must be a whole number, got "all"`},
		{"release status --set " + state, exitDone, "no model is installed here"},
	} {
		code, _, stderr := agentCmd(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.stderr) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("%s: exit %d: %s; want %d: %s", c.args, code, stderr, c.code, c.stderr)
		}
	}
}
