package quant

import (
	"encoding/binary"
	"math"
)

// half is the nearest binary16 to v, ties to even.
func half(v float32) uint16 {
	b := math.Float32bits(v)
	sign, exp, frac := uint16(b>>16&0x8000), int(b>>23&0xff)-127, b&0x7fffff
	switch {
	case exp == 128 && frac != 0:
		return sign | 0x7e00
	case exp > 15:
		return sign | 0x7c00
	case exp < -25:
		return sign
	case exp < -14: // subnormal: the leading 1 becomes part of the fraction
		frac |= 0x800000
		shift := uint(-exp - 1) // 14 for exp -15
		return sign | roundShift(frac, shift)
	}
	return sign | (uint16(exp+15)<<10 + roundShift(frac, 13)) // a carry runs into the exponent as it should
}

// roundShift is v >> n, rounded to the nearest, ties to even.
func roundShift(v uint32, n uint) uint16 {
	q, rest, tie := v>>n, v&(1<<n-1), uint32(1)<<(n-1)
	if rest > tie || rest == tie && q&1 == 1 {
		q++
	}
	return uint16(q)
}

func appendHalf(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, half(v)) }
