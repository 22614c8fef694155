package importer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// preprocess reads the declaration for the network's input.
func preprocess(o *Options, n *imported) (vision.Preprocess, error) {
	height, width, channels := n.spec.Architecture.InputSize, n.spec.Architecture.InputSize, 3
	if n.foreign {
		height, width, channels = n.classifier.Picture.Height, n.classifier.Picture.Width, n.classifier.Picture.Channels
	}
	if o.madeFor[0] > 0 && o.madeFor != [2]int{height, width} {
		return vision.Preprocess{}, fmt.Errorf("%s prepares pictures for %d×%d, the network takes %d×%d: give "+
			"--preprocess", o.madeBy, o.madeFor[0], o.madeFor[1], height, width)
	}
	p, err := ParsePreprocess(o.Preprocess, height, width)
	if err != nil {
		return p, err
	}
	switch {
	case channels == 1 && p.Channels != vision.ChannelsGrey:
		return p, fmt.Errorf("channels: the network takes grey pictures: give channels=%s", vision.ChannelsGrey)
	case channels == 4 && (p.Channels == vision.ChannelsGrey || !fourth(o.Preprocess)):
		return p,
			errors.New("mean and std: the network takes four channels: give four numbers, the last for opacity, " +
				"which is always 255")
	case channels != 4 && fourth(o.Preprocess):
		return p, fmt.Errorf("mean and std: four numbers, but the network takes %d channels", channels)
	}
	if n.bytes() && !wholeNumbers(&p, n.classifier.Picture.Type) {
		return p, fmt.Errorf("the network takes whole numbers (%v) and does the rest itself: scale=1, mean=0,0,0 and "+
			"std=1,1,1, and a filter that makes bytes", n.classifier.Picture.Type)
	}
	return p, nil
}

// wholeNumbers tells whether the declaration makes numbers that an integer type holds.
func wholeNumbers(p *vision.Preprocess, kind onnx.DataType) bool {
	for c := range 3 {
		if p.Std[c] != 1 || p.Mean[c] != math.Trunc(p.Mean[c]) || p.Mean[c] != 0 && kind == onnx.Uint8 {
			return false
		}
	}
	return p.Scale == 1 && p.Filter != vision.FilterTFBilinear
}

// ParsePreprocess reads "torchvision" or KEY=V,… for pictures of height×width; every part that
// matters must be there. With channels=grey one number does for mean and std; a fourth is that of a
// fourth channel, and not kept.
func ParsePreprocess(s string, height, width int) (vision.Preprocess, error) {
	size := max(height, width)
	if s == "torchvision" {
		if height != width {
			return vision.Preprocess{},
				fmt.Errorf("torchvision's preset is for squares, the network takes %d×%d: give "+"every part",
					height, width)
		}
		return vision.Torchvision(size), nil
	}
	values, err := splitKeys(s)
	if err != nil {
		return vision.Preprocess{}, err
	}
	wanted := []string{"resize", "filter", "channels", "scale", "mean", "std"}
	switch values["resize"] {
	case vision.ResizeShortestCrop:
		wanted = append(wanted, "shorter")
	case vision.ResizeLetterbox:
		wanted = append(wanted, "fill")
	}
	for _, key := range wanted {
		if values[key] == "" {
			return vision.Preprocess{}, fmt.Errorf("%s is missing: it is never guessed", key)
		}
	}
	p := vision.Preprocess{Resize: values["resize"], Filter: values["filter"], Channels: values["channels"],
		Exif: values["exif"]}
	for key, v := range values {
		if err := setNumber(&p, key, v); err != nil {
			return vision.Preprocess{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if height != width {
		p.Window = [2]int{height, width}
	}
	return p, p.Validate(size)
}

// fourth tells whether mean and std have a fourth number.
func fourth(s string) bool {
	values, err := splitKeys(s)
	return err == nil && len(words(values["mean"])) == 4 && len(words(values["std"])) == 4
}

// opaque is what the fourth channel of an opaque picture becomes, 0 where none is declared.
func opaque(s string) (float32, error) {
	if !fourth(s) {
		return 0, nil
	}
	values, err := splitKeys(s)
	if err != nil {
		return 0, err
	}
	scale, err := fraction(values["scale"])
	if err != nil {
		return 0, fmt.Errorf("scale: %w", err)
	}
	mean, err := fraction(words(values["mean"])[3])
	if err != nil {
		return 0, fmt.Errorf("mean: %w", err)
	}
	std, err := fraction(words(values["std"])[3])
	if err != nil || std <= 0 {
		return 0, errors.Join(errors.New("std: must be numbers > 0"), err)
	}
	return float32((255*scale - mean) / std), nil
}

// splitKeys splits a=1,b=1,2,3,c=4: what has no "=" continues the value before it.
func splitKeys(s string) (map[string]string, error) {
	values := map[string]string{}
	last := ""
	for _, word := range strings.Split(s, ",") {
		key, v, ok := strings.Cut(word, "=")
		switch {
		case ok:
			last = strings.TrimSpace(key)
			if _, twice := values[last]; twice {
				return nil, fmt.Errorf("%s is given twice", last)
			}
			values[last] = strings.TrimSpace(v)
		case last == "":
			return nil, fmt.Errorf("%q is neither torchvision nor KEY=V,…", s)
		default:
			values[last] += "," + strings.TrimSpace(word)
		}
	}
	return values, nil
}

func setNumber(p *vision.Preprocess, key, v string) (err error) {
	switch key {
	case "resize", "filter", "channels", "exif":
	case "size":
		p.Size, err = twoSides(v)
	case "shorter":
		if p.Shorter, err = strconv.Atoi(v); err != nil {
			err = fmt.Errorf("must be a number of pixels, got %q", v)
		}
	case "fill":
		var fill uint64
		if fill, err = strconv.ParseUint(v, 10, 8); err != nil {
			err = fmt.Errorf("must be 0 to 255, got %q", v)
		}
		p.Fill = uint8(fill)
	case "scale":
		p.Scale, err = fraction(v)
	case "mean":
		p.Mean, err = three(v, p.Channels)
	case "std":
		p.Std, err = three(v, p.Channels)
	default:
		err = errors.New("no such key: resize, size, shorter, fill, filter, channels, exif, scale, mean, std")
	}
	return err
}

// fraction reads a number or a quotient such as 1/255.
func fraction(s string) (float64, error) {
	above, below, ok := strings.Cut(s, "/")
	a, err := strconv.ParseFloat(strings.TrimSpace(above), 64)
	b := 1.0
	if ok && err == nil {
		b, err = strconv.ParseFloat(strings.TrimSpace(below), 64)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number and no quotient such as 1/255", s)
	case b == 0:
		return 0, fmt.Errorf("%q divides by zero", s)
	}
	return a / b, nil
}

// words are the numbers of a list, without the brackets that some copy with them.
func words(s string) []string { return strings.Split(strings.Trim(strings.TrimSpace(s), "[]()"), ",") }

// three reads a number for each channel; of grey one stands for all of them.
func three(s, channels string) (v [3]float64, err error) {
	all := words(s)
	switch n := len(all); {
	case n == 3 || n == 4:
	case n == 1 && channels == vision.ChannelsGrey:
		all = []string{all[0], all[0], all[0]}
	default:
		return v, fmt.Errorf("wants three numbers, got %q", s)
	}
	for i := range v {
		if v[i], err = fraction(all[i]); err != nil {
			return v, err
		}
	}
	return v, nil
}

// twoSides reads N, or height and width as H×W.
func twoSides(s string) (v [2]int, err error) {
	height, width, err := ParseInput(s)
	return [2]int{height, width}, err
}

// ParseInput reads the size of an input: N, or height and width as H×W or HxW.
func ParseInput(s string) (height, width int, err error) {
	a, b, two := strings.Cut(strings.ReplaceAll(strings.ToLower(s), "x", "×"), "×")
	if !two {
		b = a
	}
	height, err = strconv.Atoi(strings.TrimSpace(a))
	if err == nil {
		width, err = strconv.Atoi(strings.TrimSpace(b))
	}
	if err != nil || height < 1 || width < 1 {
		return 0, 0, fmt.Errorf("must be a number of pixels, or height and width as 240×320, got %q", s)
	}
	return height, width, nil
}
