package mqtt

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/vision"
)

// thresholdsLimit is how long a message of C/thresholds/set may be, bytes.
const thresholdsLimit = 16 << 10

// setTopics are those below a camera's that set something.
var setTopics = []string{"enabled/set", "threshold/set", "thresholds/set", "unknown_below/set"}

// decodeSet reads the payload of a topic C/…/set; good is whether it is one.
func decodeSet(what string, payload []byte) (j job, good bool) {
	text := string(payload)
	switch what {
	case "enabled/set":
		on := text == "ON"
		j.on = &on
		return j, on || text == "OFF"
	case "thresholds/set":
		j.own, good = decodeThresholds(payload)
		return j, good
	}
	j.below = what == "unknown_below/set"
	if good = len(payload) < 16 && threshold.MatchString(text); good {
		j.score, _ = strconv.ParseFloat(text, 64) // the form says that it is a number
	}
	return j, good && (j.score < 1 || !j.below)
}

// decodeThresholds reads an object of labels and scores, {"gear": 0.8}: no label twice, every score
// within 0 to 1, nothing behind the end.
func decodeThresholds(b []byte) (own []vision.ClassThreshold, good bool) {
	own = []vision.ClassThreshold{}
	if len(b) > thresholdsLimit {
		return own, false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	_, err := object(d, func(label string) error {
		var score *float64
		if err := d.Decode(&score); err != nil {
			return err
		}
		if label == "" || score == nil || !(*score >= 0 && *score <= 1) || len(own) == vision.MostThresholds {
			return io.ErrUnexpectedEOF
		}
		own = append(own, vision.ClassThreshold{Label: label, Score: *score})
		return nil
	})
	if err == nil {
		_, err = d.Token()
	}
	return own, err == io.EOF
}

// appendThresholds appends the object of labels and scores, by label.
func appendThresholds(b []byte, own []vision.ClassThreshold) []byte {
	own = slices.SortedFunc(slices.Values(own), func(x, y vision.ClassThreshold) int {
		return strings.Compare(x.Label, y.Label)
	})
	b = append(b, '{')
	for i, t := range own {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, t.Label), ':')
		b = strconv.AppendFloat(b, math.Round(t.Score*1e6)/1e6, 'f', -1, 64)
	}
	return append(b, '}')
}

// stateOf is the topic that answers a set.
func (c *cameraTopics) stateOf(j *job) *state {
	switch {
	case j.on != nil:
		return c.enabled
	case j.own != nil:
		return c.thresholds
	case j.below:
		return c.unknownBelow
	}
	return c.threshold
}
