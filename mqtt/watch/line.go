package watch

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vggse/vggse-agent/mqtt"
)

// Line is a message for people, on one line.
func Line(prefix string, m mqtt.Message) string {
	topic := printable(strings.TrimPrefix(m.Topic, prefix+"/"))
	var r result
	text := ""
	switch {
	case strings.HasSuffix(topic, "/result") && json.Unmarshal(m.Payload, &r) == nil:
		text = fmt.Sprintf("%s  %.1f %%  infer %s", printable(r.Label), 100*r.score(), millis(r.Latency.Infer))
	case len(m.Payload) > 200:
		text = fmt.Sprintf("%d bytes", len(m.Payload))
	default:
		text = printable(string(m.Payload))
	}
	return fmt.Sprintf("%-32s  %s", topic, text)
}
