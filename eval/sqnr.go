package eval

import "math"

// SQNR is the signal-to-quantization-noise ratio in decibels, 10·log10(power/error), at most 200.
func SQNR(power, err float64) float64 {
	if err <= 0 || power <= 0 {
		return 200
	}
	return math.Min(200, 10*math.Log10(power/err))
}
