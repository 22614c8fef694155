package demo

import "math"

// flat is a plate of the given height whose edge is rounded over bevel.
func flat(d, height, bevel float64) float64 {
	t := clamp(-d / bevel)
	return height * t * (2 - t)
}

// round is the height of a wire of the given radius at distance d from its outline.
func round(d, radius float64) float64 {
	w := min(0, d) + radius
	return math.Sqrt(max(0, radius*radius-w*w))
}

// box is the distance to a rectangle with rounded corners (Quilez, 2D distance functions).
func box(x, y, halfWidth, halfHeight, corner float64) float64 {
	x, y = math.Abs(x)-halfWidth+corner, math.Abs(y)-halfHeight+corner
	return length(max(x, 0), max(y, 0)) + min(max(x, y), 0) - corner
}

func length(x, y float64) float64 { return math.Sqrt(x*x + y*y) }

func clamp(x float64) float64 { return max(0, min(1, x)) }
