package agent

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDashboardsAskForWhatThereIs: every metric of the dashboard and of the alert rules has its
// name in the code that makes it.
func TestDashboardsAskForWhatThereIs(t *testing.T) {
	var code strings.Builder
	for _, file := range []string{"telemetry.go", "../api/metrics.go", "../api/figures.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	name := regexp.MustCompile(`vggse_[a-z_]+`)
	for _, file := range []string{"../configs/grafana/vggse-agent.json", "../configs/prometheus/alerts.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is not JSON", file)
		}
		names := name.FindAllString(string(text), -1)
		if len(names) < 6 {
			t.Errorf("%s asks for %d metrics only", file, len(names))
		}
		for _, n := range names {
			if !strings.Contains(code.String(), `"`+strings.TrimSuffix(n, "_bucket")+`"`) {
				t.Errorf("%s asks for %s, which nobody makes", file, n)
			}
		}
	}
}
