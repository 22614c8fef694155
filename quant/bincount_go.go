//go:build !cgo

package quant

// count looks at the channels of a map, as many as m has, and where all values of one are below
// limit counts them in cells, which may be nil.
func count(cells *bins, values []float32, scale float32, limit uint32, m []moments) {
	counted(cells, values, scale, limit, m)
}
