package bundle

import (
	"math"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

func TestSpecValidate(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		spoil func(*Spec)
		want  string // empty: nothing to complain about
	}{
		{func(*Spec) {}, ""},
		{func(s *Spec) { s.Schema = "" }, `schema: "" is not "vggse.bundle/1": made by another version of vggse-agent`},
		{func(s *Spec) { s.Name = "" }, "name: must not be empty"},
		{func(s *Spec) { s.Architecture.InputSize = -1 }, "architecture.input_size: must be > 0, got -1"},
		{func(s *Spec) { s.Architecture.Hidden = 2_000_000_000 },
			"architecture.hidden: must be from 1 to 1048576, got 2000000000"},
		{func(s *Spec) { s.Architecture.Hidden2 = -1 }, "architecture.hidden2: must be from 1 to 1048576, got -1"},
		{func(s *Spec) { s.Architecture.Classes = 2_000_000_000 },
			"architecture.classes: must be from 1 to 1048576, got 2000000000"},
		{func(s *Spec) { s.Architecture.PoolSize = 1 << 40 },
			"architecture.pool_size: must be from 1 to 1048576, got 1099511627776"},
		{func(s *Spec) { s.Architecture.Depths = []int{2, 2, -3} },
			"architecture.depths: must be from 1 to 1048576, got -3"},
		{func(s *Spec) { s.Architecture.Channels = []int{64, 1 << 30} },
			"architecture.channels: must be from 1 to 1048576, got 1073741824"},
		{func(s *Spec) { s.Architecture.Width = nan }, "architecture.width: must be > 0 and ≤ 64, got NaN"},
		{func(s *Spec) { s.Architecture.Width = 65 }, "architecture.width: must be > 0 and ≤ 64, got 65"},
		{func(s *Spec) { s.Input.Name = "" }, "input.name: must not be empty"},
		{func(s *Spec) { s.Output.Name = "" }, "output.name: must not be empty"},
		{func(s *Spec) { s.Labels = nil }, "labels: must not be empty"},
		{func(s *Spec) { s.Architecture.Classes = 4 }, "labels: 3 labels, but architecture.classes is 4"},
		{func(s *Spec) { s.Labels[1] = "" }, "labels[1]: must not be empty"},
		{func(s *Spec) { s.Labels[2] = "bolt" }, `labels[2]: "bolt" is already labels[0]`},
		{func(s *Spec) { s.Files = nil }, "files.fp32: missing"},
		{func(s *Spec) { s.Files["a"] = File{Path: "/x"} }, `files.a.path: "/x" must be a path inside the bundle`},
		{func(s *Spec) { s.Files["a"] = File{Path: "x", SHA256: "AB"} },
			`files.a.sha256: "AB" is not 64 lower-case hexadecimal digits`},
		{func(s *Spec) { s.Files["a"] = File{Path: "x", SHA256: strings.Repeat("0", 64), Bytes: -1} },
			"files.a.bytes: must be ≥ 0, got -1"},
		{func(s *Spec) { s.Files["b"], s.Files["a"] = File{Path: "/y"}, File{Path: "/x"} },
			`files.a.path: "/x" must be a path inside the bundle`},
		{func(s *Spec) { s.Preprocess.Resize = "fit" },
			`preprocess.resize: must be squash, shortest-crop or letterbox, got "fit"`},
		{func(s *Spec) { s.Preprocess.Resize = vision.ResizeLetterbox }, ""},
		{func(s *Spec) { s.Preprocess.Shorter = 95 }, "preprocess.shorter: must be ≥ the input size 96, got 95"},
		{func(s *Spec) { s.Preprocess.Filter = "bicubic" },
			`preprocess.filter: must be one of area, cubic, linear, nearest, pil-bicubic, ` +
				`pil-bilinear, pil-box, pil-hamming, pil-lanczos, pil12-bicubic, pil12-bilinear, pil12-box, ` +
				`pil12-hamming, pil12-lanczos, tf-bilinear, got "bicubic"`},
		{func(s *Spec) { s.Output.Scores = "tanh" }, `output.scores: must be softmax or sigmoid, got "tanh"`},
		{func(s *Spec) { s.Preprocess.Exif = "turn" }, `preprocess.exif: must be apply or ignore, got "turn"`},
		{func(s *Spec) { s.Preprocess.Window = [2]int{96, 100} },
			"preprocess.window: must be height and width of which the longer is the input size 96, got 96×100"},
		{func(s *Spec) { s.Preprocess.Size = [2]int{128, 128} }, "preprocess.size: goes with resize=squash only"},
		{func(s *Spec) { s.Preprocess.Channels = "RGB" }, `preprocess.channels: must be rgb, bgr or grey, got "RGB"`},
		{func(s *Spec) { s.Preprocess.Scale = 0 },
			"preprocess.scale: must be given and not 0, got 0 (1/255 = 0.00392156862745098 for pictures in 0..1)"},
		{func(s *Spec) { s.Preprocess.Scale = nan },
			"preprocess.scale: must be given and not 0, got NaN (1/255 = 0.00392156862745098 for pictures in 0..1)"},
		{func(s *Spec) { s.Preprocess.Mean[2] = math.Inf(1) }, "preprocess.mean[2]: must be a number, got +Inf"},
		{func(s *Spec) { s.Preprocess.Std[1] = 0 }, "preprocess.std[1]: must be > 0, got 0"},
		{func(s *Spec) { s.Preprocess.Std[1] = nan }, "preprocess.std[1]: must be > 0, got NaN"},
	} {
		s := testSpec()
		c.spoil(s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestTorchvisionShorter(t *testing.T) {
	for size, want := range map[int]int{224: 256, 96: 110, 64: 73, 299: 342} {
		if got := vision.Torchvision(size).Shorter; got != want {
			t.Errorf("size %d: got %d, want %d", size, got, want)
		}
	}
}
