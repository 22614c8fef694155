// Package round makes figures for reports.
package round

import (
	"fmt"
	"time"
)

// Milliseconds is d in milliseconds, with three digits behind the point.
func Milliseconds(d time.Duration) float64 { return Three(float64(d) / float64(time.Millisecond)) }

// Three leaves three digits behind the point of a number that is not negative.
func Three(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// Count is a number with its word: 1 picture, 2 pictures.
func Count(n int, one, many string) string { return fmt.Sprintf("%d %s", n, Plural(n, one, many)) }

// Pictures is a number of pictures.
func Pictures(n int) string { return Count(n, "picture", "pictures") }

// Plural is the word for n things: one of one, many of any other number.
func Plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
