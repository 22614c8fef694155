// Package round makes figures for reports.
package round

import "time"

// Milliseconds is d in milliseconds, with three digits behind the point.
func Milliseconds(d time.Duration) float64 { return Three(float64(d) / float64(time.Millisecond)) }

// Three leaves three digits behind the point of a number that is not negative.
func Three(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// Plural is the word for n things: one of one, many of any other number.
func Plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
