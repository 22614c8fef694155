package importer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/vision"
)

// ParsePreprocess reads "torchvision" or KEY=V,…; every part that matters must be there.
func ParsePreprocess(s string, size int) (vision.Preprocess, error) {
	if s == "torchvision" {
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
	p := vision.Preprocess{Resize: values["resize"], Filter: values["filter"], Channels: values["channels"]}
	for key, v := range values {
		if err := setNumber(&p, key, v); err != nil {
			return vision.Preprocess{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return p, p.Validate(size)
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
	case "resize", "filter", "channels":
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
		p.Mean, err = three(v)
	case "std":
		p.Std, err = three(v)
	default:
		err = errors.New("no such key: resize, shorter, fill, filter, channels, scale, mean, std")
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

func three(s string) (v [3]float64, err error) {
	words := strings.Split(strings.Trim(strings.TrimSpace(s), "[]()"), ",")
	if len(words) != 3 {
		return v, fmt.Errorf("wants three numbers, got %q", s)
	}
	for i, w := range words {
		if v[i], err = fraction(w); err != nil {
			return v, err
		}
	}
	return v, nil
}
