package prune

import "math/rand/v2"

// places draws n of side² places of a map for a picture, or all; the same for the same picture.
func places(side, n, picture int) []int {
	all := rand.New(rand.NewPCG(uint64(picture), 1)).Perm(side * side)
	return all[:min(n, len(all))]
}

// columns copies the channels at places of a map, c × area, into rows of width numbers; a row may
// be longer than c.
func columns(to []float64, v []float32, area int, places []int, width int) {
	c := len(v) / area
	for i, p := range places {
		row := to[i*width:]
		for ch := range c {
			row[ch] = float64(v[ch*area+p])
		}
	}
}

// patches copies the 3×3 neighbourhoods of places, in the order of a kernel, zeros around the map,
// into rows of width.
func patches(to []float64, v []float32, side int, places []int, width int) {
	area := side * side
	c := len(v) / area
	for i, p := range places {
		row, y, x := to[i*width:], p/side, p%side
		for t := range 9 {
			r, q := y+t/3-1, x+t%3-1
			inside := r >= 0 && r < side && q >= 0 && q < side
			for ch := range c {
				value := 0.0
				if inside {
					value = float64(v[ch*area+r*side+q])
				}
				row[ch*9+t] = value
			}
		}
	}
}
