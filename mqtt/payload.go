package mqtt

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

// Payloads of results and events are written by hand, field after field, because they are the only
// ones made per frame: nothing is allocated but the memory of the record, which is used again.

// opening of every JSON payload of one topic, which never changes: schema and identity.
func (id *Identity) opening(schema, camera string) []byte {
	b := append([]byte(nil), `{"schema":`...)
	b = appendString(b, schema)
	b = append(b, `,"device":`...)
	b = appendString(b, id.Device)
	if camera != "" {
		b = append(b, `,"camera":`...)
		b = appendString(b, camera)
	}
	b = append(b, `,"stream_id":`...)
	b = appendString(b, id.StreamID)
	b = append(b, `,"boot_id":`...)
	b = appendString(b, id.BootID)
	b = append(b, `,"model":`...)
	b = append(b, encode(id.Model)...)
	return b
}

// instant is a point in time as the payloads tell it.
type instant struct {
	wall   time.Time
	mono   time.Duration // CLOCK_BOOTTIME
	synced bool
}

// appendInstant tells the place in the stream and the time.
func appendInstant(b []byte, seq uint64, t instant) []byte {
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"ts":"`...)
	b = t.wall.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","ts_quality":"`...)
	if !t.synced {
		b = append(b, "un"...)
	}
	b = append(b, `synced","mono_ns":`...)
	return strconv.AppendInt(b, int64(t.mono), 10)
}

// A record has 64 KiB: of many labels that are long the first are told, which have the best scores.
const (
	topRoom    = spool.MaxPayload * 5 / 8 // bytes from which on no other class follows in top
	labelsRoom = spool.MaxPayload * 7 / 8 // nor a label in labels
)

// appendResult is the payload vggse.result/1 but for its end.
func appendResult(b, opening []byte, seq uint64, t instant, d *vision.Decision) []byte {
	b = append(b, opening...)
	b = appendInstant(b, seq, t)
	b = append(b, `,"frame_id":`...)
	b = strconv.AppendUint(b, d.Frame, 10)
	b = append(b, `,"label":`...)
	b = appendString(b, d.Stable.Label)
	b = append(b, `,"previous":`...)
	b = appendString(b, d.Before.Label)
	b = append(b, `,"top":[`...)
	for i, c := range d.Top {
		if len(b) > topRoom {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"label":`...)
		b = appendString(b, c.Label)
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(c.Index), 10)
		b = append(b, `,"p":`...)
		b = appendScore(b, c.Score)
		b = append(b, '}')
	}
	b = append(b, `],"margin":`...)
	b = appendScore(b, d.Margin())
	b = append(b, `,"stable":`...) // the best of this frame is what holds
	b = strconv.AppendBool(b, len(d.Top) > 0 && d.Top[0].Index == d.Stable.Index)
	if len(d.Labels) > 0 {
		b = appendLabels(b, d.Labels)
	}
	if d.PValue > 0 {
		b = append(b, `,"unknown":`...)
		b = strconv.AppendBool(b, d.Unknown)
		b = append(b, `,"p_value":`...)
		b = appendScore(b, d.PValue)
	}
	return appendLatency(b, &d.Latency)
}

// appendLabels tells the labels that hold each for itself, of networks whose labels do not exclude
// each other.
func appendLabels(b []byte, labels []vision.Class) []byte {
	b = append(b, `,"labels":[`...)
	for i, c := range labels {
		if len(b) > labelsRoom {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"label":`...)
		b = appendString(b, c.Label)
		b = append(b, `,"score":`...)
		b = appendScore(b, c.Score)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendLatency(b []byte, l *vision.Latency) []byte {
	b = append(b, `,"latency_us":{"capture":`...)
	b = strconv.AppendInt(b, l.Capture.Microseconds(), 10)
	b = append(b, `,"preprocess":`...)
	b = strconv.AppendInt(b, l.Preprocess.Microseconds(), 10)
	b = append(b, `,"wait":`...)
	b = strconv.AppendInt(b, l.Wait.Microseconds(), 10)
	b = append(b, `,"infer":`...)
	b = strconv.AppendInt(b, l.Infer.Microseconds(), 10)
	b = append(b, `,"post":`...)
	b = strconv.AppendInt(b, l.Post.Microseconds(), 10)
	b = append(b, `,"total":`...)
	b = strconv.AppendInt(b, l.Total.Microseconds(), 10)
	return append(b, '}')
}

// appendEvent is the payload vggse.event/1 but for its fields and its end.
func appendEvent(b, opening []byte, seq uint64, t instant, kind string) []byte {
	b = append(b, opening...)
	b = appendInstant(b, seq, t)
	b = append(b, `,"event_type":`...)
	return appendString(b, kind)
}

// appendField adds a text.
func appendField(b []byte, key, value string) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return appendString(b, value)
}

// Late is the payload, as it goes out after an outage, of a record that waits in a spool.
func Late(payload []byte) []byte { return finish(append([]byte(nil), payload...), true) }

// finish closes a payload: late is whether it arrives after an outage, or perhaps not for the first
// time.
func finish(b []byte, late bool) []byte {
	b = append(b, `,"redelivered":`...)
	b = strconv.AppendBool(b, late)
	return append(b, '}')
}

// appendScore writes a probability with at most six decimals; what is no number is 0.
func appendScore(b []byte, p float32) []byte {
	v := math.Round(float64(p)*1e6) / 1e6
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

// appendString writes s as a JSON string; labels without anything to escape allocate nothing.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf && !utf8.ValidString(s) {
			return append(b, encodeText(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func encodeText(s string) []byte {
	b, _ := json.Marshal(s) // a string always can be
	return b
}
