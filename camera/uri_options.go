package camera

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Flip says how a picture is turned before anyone sees it, by the names that jetson-inference uses.
type Flip string

// The ways to turn a picture. A quarter turn swaps width and height.
const (
	FlipNone             Flip = ""
	FlipClockwise        Flip = "clockwise"
	FlipCounterclockwise Flip = "counterclockwise"
	FlipRotate180        Flip = "rotate-180"
	FlipHorizontal       Flip = "horizontal" // left ↔ right
	FlipVertical         Flip = "vertical"   // top ↔ bottom
)

var (
	flips  = []Flip{FlipClockwise, FlipCounterclockwise, FlipRotate180, FlipHorizontal, FlipVertical}
	codecs = map[string][]string{"v4l2": {"mjpeg", "yuyv"}, "rtsp": {"h264", "h265"}, "onvif": {"h264", "h265"},
		"rtp": {"h264", "h265"}}
)

const (
	maxSide = 1 << 14 // pixels; the largest picture side that is asked of a device
	maxFPS  = 1000
)

// parseKeys reads key=value&key=value into the options.
func (u *URI) parseKeys(query string) error {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if !slices.Contains(keysOf[u.Scheme], key) {
			return fmt.Errorf("unknown key %q: %s:// knows %s", key, u.Scheme, strings.Join(keysOf[u.Scheme], ", "))
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return fmt.Errorf("%s: has a lone %%", key)
		}
		if err := u.setKey(key, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if u.Scheme == "rtp" && u.Codec == "" {
		return fmt.Errorf("codec: must be given: ?codec=h264 or ?codec=h265")
	}
	if (u.Width == 0) != (u.Height == 0) {
		return fmt.Errorf("width and height: give both or neither")
	}
	return nil
}

func (u *URI) setKey(key, value string) (err error) {
	switch key {
	case "width":
		u.Width, err = number(value, 1, maxSide)
	case "height":
		u.Height, err = number(value, 1, maxSide)
	case "fps":
		u.FPS, err = strconv.ParseFloat(value, 64)
		if err != nil || !(u.FPS > 0 && u.FPS <= maxFPS) {
			err = fmt.Errorf("must be above 0 and at most %d, got %q", maxFPS, value)
		}
	case "seed":
		if u.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = fmt.Errorf("must be a whole number ≥ 0, got %q", value)
		}
	case "strangers":
		u.Strangers, err = number(value, 1, 1000)
	case "loop":
		u.Loop, err = parseLoop(value)
	case "speed":
		err = oneOf(value, "max")
		u.MaxSpeed = err == nil
	case "flip":
		u.Flip, err = parseFlip(value)
	case "codec":
		err = oneOf(value, codecs[u.Scheme]...)
		u.Codec = value
	case "transport":
		if err = oneOf(value, "tcp", "udp"); value == "http" {
			err = fmt.Errorf("must be tcp or udp: %s", tunnelled)
		}
		u.UDP = value == "udp"
	case "latency":
		var ms int
		ms, err = number(value, 1, 60_000)
		u.Latency = time.Duration(ms) * time.Millisecond
	case "timeout":
		var ms int
		ms, err = number(value, 1000, 3_600_000)
		u.Timeout = time.Duration(ms) * time.Millisecond
	case "profile":
		u.Mode, err = number(value, 1, 99)
	case "sensor-mode":
		u.Mode, err = number(value, 0, 63)
		u.Mode++
	}
	return err
}

// parseLoop takes jetson-inference's −1, 0, N, and true and false.
func parseLoop(value string) (int, error) {
	switch value {
	case "true":
		return -1, nil
	case "false":
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("must be -1 (for ever), 0, or the number of further rounds, got %q", value)
	}
	return n, nil
}

func parseFlip(value string) (Flip, error) {
	if f := Flip(value); value != "none" && !slices.Contains(flips, f) {
		return "", fmt.Errorf("must be none, clockwise, counterclockwise, rotate-180, horizontal or vertical, got %q",
			value)
	} else if value != "none" {
		return f, nil
	}
	return FlipNone, nil
}

func number(value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be a whole number between %d and %d, got %q", least, most, value)
	}
	return n, nil
}

func oneOf(value string, words ...string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("must be %s, got %q", strings.Join(words, " or "), value)
	}
	return nil
}
