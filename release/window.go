package release

import (
	"fmt"
	"strings"
	"time"
)

// hours are the ends of the window, as the time of a day; both 0: there is none.
func (c *Config) hours() (from, to time.Duration, err error) {
	if c.Window == "" {
		return 0, 0, nil
	}
	begin, end, _ := strings.Cut(c.Window, "-")
	a, err := time.Parse("15:04", strings.TrimSpace(begin))
	if err != nil {
		return 0, 0, fmt.Errorf("update.window: must look like 02:00-04:00, got %q", c.Window)
	}
	b, err := time.Parse("15:04", strings.TrimSpace(end))
	if err != nil || a.Equal(b) {
		return 0, 0, fmt.Errorf("update.window: must look like 02:00-04:00, with two different times, got %q", c.Window)
	}
	midnight := time.Date(a.Year(), a.Month(), a.Day(), 0, 0, 0, 0, time.UTC)
	return a.Sub(midnight), b.Sub(midnight), nil
}

// Opens is how long it takes from now, in its own time zone, until the window opens; 0: it is open,
// or there is none. On days with another hour it may be an hour off: ask again.
func (c *Config) Opens(now time.Time) time.Duration {
	from, to, err := c.hours()
	if err != nil || from == to {
		return 0
	}
	of := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute +
		time.Duration(now.Second())*time.Second
	const day = 24 * time.Hour
	if since := (of - from + day) % day; since < (to-from+day)%day {
		return 0
	}
	return (from - of + day) % day
}
