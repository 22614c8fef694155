package demo

import "math"

// railLevel is the grey level of the aluminium rail at a distance from the middle; 0 where the belt
// is.
func railLevel(distance float64) int32 {
	t := (distance - railAt) / (0.5 - railAt)
	switch {
	case t < 0:
		return 0
	case t < 0.12:
		return 22
	case t < 0.3:
		return 176
	case t < 0.72:
		return 142 + int32(20*math.Sin(9*t))
	default:
		return 96
	}
}

// texture is the belt's rubber, tileable: value noise in four octaves and a fine weave, averaged
// down to side×side texels.
func texture(side int) []uint8 {
	master := make([]float64, masterSide*masterSide)
	r := mix(0x7e87)
	for _, o := range [4][2]float64{{8, 9}, {32, 6}, {128, 7}, {512, 13}} {
		cells := int(o[0])
		grid := make([]float64, cells*cells)
		for i := range grid {
			grid[i] = r.normal() * o[1]
		}
		scale := float64(cells) / masterSide
		for y := range masterSide {
			for x := range masterSide {
				master[y*masterSide+x] += lattice(grid, cells, float64(x)*scale, float64(y)*scale)
			}
		}
	}
	sum, count := make([]float64, side*side), make([]float64, side*side)
	for i, v := range master {
		x, y := i%masterSide, i/masterSide
		weave := 5 * math.Sin(float64(x+y)*math.Pi/8) * math.Sin(float64(x-y)*math.Pi/8)
		to := y*side/masterSide*side + x*side/masterSide
		sum[to] += 128 + v + weave
		count[to]++
	}
	tile := make([]uint8, side*side)
	for i := range tile {
		tile[i] = uint8(min(max(sum[i]/max(count[i], 1), 1), 255))
	}
	return tile
}

// lattice interpolates a wrapping grid of cells×cells values.
func lattice(grid []float64, cells int, x, y float64) float64 {
	x0, y0 := int(x), int(y)
	x1, y1 := (x0+1)%cells, (y0+1)%cells
	fx, fy := x-float64(x0), y-float64(y0)
	top := grid[y0*cells+x0]*(1-fx) + grid[y0*cells+x1]*fx
	low := grid[y1*cells+x0]*(1-fx) + grid[y1*cells+x1]*fx
	return top*(1-fy) + low*fy
}
