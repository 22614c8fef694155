//go:build !cgo

package quant

// measure looks at the channels of a map, as many as m has.
func measure(values []float32, m []moments) {
	area := len(values) / len(m)
	for k := range m {
		m[k] = measured(values[k*area:][:area])
	}
}

// scatter counts values that lie in the range that scale belongs to.
func scatter(cells *tally, values []float32, scale float32) { scattered(cells, values, scale) }
