package resample

// applyPlain is Apply in Go: the whole of it where there is no vector kernel, and what that is
// tested against.
func (p *Plan) applyPlain(dst *Target, src []byte, stride int) {
	if p.sums == nil {
		p.sums = make([]int32, 3*p.columns)
	}
	for y := range p.y.first {
		p.sumDown(y, src[p.offset:], stride)
		p.sumLeft(y, dst)
	}
}

// sumDown makes p.row the weighted sum of the source rows that output row y is made of, two at a
// time.
func (p *Plan) sumDown(y int, src []byte, stride int) {
	shift := p.y.shift - fraction
	for j := range p.sums {
		p.sums[j] = 1 << shift >> 1
	}
	first, count := int(p.y.first[y]), int(p.y.count[y])
	weights := p.y.weight[y*p.y.taps:]
	for k := 0; k < count; k += 2 {
		a := src[(first+k)*stride:][:len(p.sums)]
		b := src[(first+min(k+1, count-1))*stride:][:len(a)] // an odd last row's twin has weight 0
		wa, wb := int32(weights[k]), int32(weights[k+1])
		sums := p.sums[:len(a)]
		for j := range a {
			sums[j] += int32(a[j])*wa + int32(b[j])*wb
		}
	}
	for j, s := range p.sums {
		p.row[j] = int16(s >> shift)
	}
}

// sumLeft makes output row y of p.row.
func (p *Plan) sumLeft(y int, dst *Target) {
	at := y * dst.Stride
	d0, d1, d2 := dst.Planes[0][at:], dst.Planes[1][at:], dst.Planes[2][at:]
	shift := p.x.shift + fraction
	half := int32(1) << (shift - 1)
	for x, first := range p.x.first {
		weights := p.x.weight[x*p.x.taps:][:p.x.count[x]]
		row := p.row[3*first:][:3*len(weights)]
		s0, s1, s2 := half, half, half
		for k, w := range weights {
			w := int32(w)
			s0 += w * int32(row[3*k])
			s1 += w * int32(row[3*k+1])
			s2 += w * int32(row[3*k+2])
		}
		d0[x] = dst.Tables[0][uint8(s0>>shift)]
		d1[x] = dst.Tables[1][uint8(s1>>shift)]
		d2[x] = dst.Tables[2][uint8(s2>>shift)]
	}
}
