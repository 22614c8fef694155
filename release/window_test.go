package release

import (
	"strings"
	"testing"
	"time"
)

// TestOpens: a window may reach over midnight, and its end is outside.
func TestOpens(t *testing.T) {
	at := func(clock string) time.Time {
		now, err := time.Parse("15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	for _, tt := range []struct {
		window, now string
		want        time.Duration
	}{
		{"", "12:00:00", 0},
		{"02:00-04:00", "02:00:00", 0},
		{"02:00-04:00", "03:59:59", 0},
		{"02:00-04:00", "04:00:00", 22 * time.Hour},
		{"02:00-04:00", "01:59:30", 30 * time.Second},
		{"22:30-01:00", "23:00:00", 0},
		{"22:30-01:00", "00:59:59", 0},
		{"22:30-01:00", "01:00:00", 21*time.Hour + 30*time.Minute},
	} {
		c := Config{Window: tt.window}
		if got := c.Opens(at(tt.now)); got != tt.want || c.Validate() != nil {
			t.Errorf("%s at %s opens in %s, want %s; %v", tt.window, tt.now, got, tt.want, c.Validate())
		}
	}
	for _, bad := range []string{"2-4", "02:00", "02:00-25:00", "02:00-02:00", "night"} {
		c := Config{Window: bad}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "update.window") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
