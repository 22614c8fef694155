package importer

import (
	"math"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// Every part is read as it is written; spaces and quotients are fine.
func TestParsePreprocess(t *testing.T) {
	plain := vision.Preprocess{Resize: vision.ResizeSquash, Filter: "area", Channels: "bgr", Scale: 1.0 / 255,
		Std: [3]float64{1, 1, 1}}
	crop := vision.Preprocess{
		Resize:   vision.ResizeShortestCrop,
		Shorter:  110,
		Filter:   "pil-bilinear",
		Channels: "rgb",
		Scale:    1,
		Mean:     [3]float64{123.675, 116.28, 103.53},
		Std:      [3]float64{58.395, 57.12, 57.375},
	}
	box := plain
	box.Resize, box.Fill = vision.ResizeLetterbox, 114
	for text, want := range map[string]vision.Preprocess{
		"torchvision": vision.Torchvision(96),
		"resize=squash,filter=area,channels=bgr,scale=1/255,mean=0,0,0,std=1,1,1":                             plain,
		" resize = squash , filter = area , channels = bgr , scale = 1/255 , mean = 0, 0, 0 , std = 1, 1, 1 ": plain,
		"std=1,1,1,mean=0,0,0,scale=1/255,channels=bgr,filter=area,resize=squash":                             plain,
		"resize=letterbox,fill=114,filter=area,channels=bgr,scale=1/255,mean=0,0,0,std=1,1,1":                 box,
		"resize=shortest-crop,shorter=110,filter=pil-bilinear,channels=rgb,scale=1,mean=123.675,116.28,103.53," +
			"std=58.395,57.12,57.375": crop,
	} {
		if got, err := ParsePreprocess(text, 96, 96); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// What is missing, doubled or no number is named; nothing is guessed.
func TestParsePreprocessRefuses(t *testing.T) {
	const rest = ",filter=area,channels=rgb,scale=1/255,mean=0,0,0,std=1,1,1"
	for text, want := range map[string]string{
		"":                                      "neither torchvision",
		"imagenet":                              "neither torchvision",
		"resize=squash":                         "is missing: it is never guessed",
		"filter=area":                           "resize is missing",
		"resize=letterbox" + rest:               "fill is missing",
		"resize=shortest-crop" + rest:           "shorter is missing",
		"resize=letterbox,fill=256" + rest:      "fill: must be 0 to 255",
		"resize=letterbox,fill=-1" + rest:       "fill: must be 0 to 255",
		"resize=shortest-crop,shorter=x" + rest: "shorter: must be a number of pixels",
		"resize=shortest-crop,shorter=8" + rest: "shorter",
		"resize=fold" + rest:                    "resize",
		"resize=squash,resize=squash" + rest:    "resize is given twice",
		"resize=squash,gamma=2" + rest:          "gamma: no such key",
		"resize=squash,filter=area,channels=rgb,scale=1/0,mean=0,0,0,std=1,1,1": "scale: \"1/0\" divides by zero",
		"resize=squash,filter=area,channels=rgb,scale=one,mean=0,0,0,std=1,1,1": "no number and no quotient",
		"resize=squash,filter=area,channels=rgb,scale=1,mean=0,0,std=1,1,1":     "mean: wants three numbers",
		"resize=squash,filter=area,channels=rgb,scale=1,mean=0,0,0,std=1,0,1":   "std",
		"resize=squash,filter=area,channels=cmy,scale=1,mean=0,0,0,std=1,1,1":   "channels",
	} {
		if got, err := ParsePreprocess(text, 96, 96); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want …%s…", text, got, err, want)
		}
	}
}

func TestFraction(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, " 0.5 ": 0.5, "1/255": 1.0 / 255, "-3 / 4": -0.75,
		"1e-3": 1e-3} {
		if got, err := fraction(text); err != nil || math.Abs(got-want) > 1e-15 {
			t.Errorf("%q: %g, %v; want %g", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1/", "/2", "1/2/3", "1/0", "1/x"} {
		if got, err := fraction(text); err == nil {
			t.Errorf("%q: %g, want it refused", text, got)
		}
	}
}
