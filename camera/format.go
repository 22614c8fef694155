package camera

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"github.com/vggse/vggse-agent/vision"
)

const (
	pngStart  = "\x89PNG\r\n\x1a\n"
	jpegStart = "\xff\xd8\xff"
)

// JPEG markers, the byte behind 0xFF (ITU-T T.81, table B.1).
const (
	jpegTEM  = 0x01
	jpegRST0 = 0xD0
	jpegRST7 = 0xD7
	jpegEOI  = 0xD9
)

// jpegEnds reports whether a JPEG has its end-of-image marker. Decoders fill a file that was cut
// off with grey and say nothing that reaches us, and a thumbnail within has an end of its own: so
// walk the segments.
func jpegEnds(data []byte) bool {
	for at := 2; ; {
		next := bytes.IndexByte(data[at:], 0xFF) // within a scan this skips what is coded
		if next < 0 || at+next+1 >= len(data) {
			return false
		}
		at += next + 1
		switch marker := data[at]; {
		case marker == 0xFF: // padding
			continue
		case marker == jpegEOI:
			return true
		case marker == 0, marker == jpegTEM, marker >= jpegRST0 && marker <= jpegRST7:
			at++
		default:
			if at+3 > len(data) {
				return false
			}
			at += 1 + int(binary.BigEndian.Uint16(data[at+1:]))
			if at >= len(data) {
				return false
			}
		}
	}
}

// pictureSize is the width and height that the head of a PNG, BMP or JPEG states; 0, 0 where it
// states none.
func pictureSize(data []byte) (width, height int) {
	big, little := binary.BigEndian, binary.LittleEndian
	switch {
	case bytes.HasPrefix(data, []byte(pngStart)) && len(data) >= 24:
		return int(big.Uint32(data[16:])), int(big.Uint32(data[20:]))
	case bytes.HasPrefix(data, []byte("BM")) && len(data) >= 26:
		if little.Uint32(data[14:]) == 12 { // the head of OS/2
			return int(little.Uint16(data[18:])), int(little.Uint16(data[20:]))
		}
		height := int(int32(little.Uint32(data[22:]))) // negative: from the top
		return int(little.Uint32(data[18:])), max(height, -height)
	case bytes.HasPrefix(data, []byte(jpegStart)):
		return jpegSize(data)
	}
	return 0, 0
}

// jpegSize reads the frame header, which stands before anything that is coded.
func jpegSize(data []byte) (width, height int) {
	for at := 2; at+9 < len(data) && data[at] == 0xFF; {
		marker := data[at+1]
		switch {
		case marker == 0xFF: // padding
			at++
			continue
		case marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC: // SOF
			return int(binary.BigEndian.Uint16(data[at+7:])), int(binary.BigEndian.Uint16(data[at+5:]))
		}
		at += 2 + int(binary.BigEndian.Uint16(data[at+2:]))
	}
	return 0, 0
}

// decodePNG decodes with Go's own decoder to the pixels that OpenCV gives: alpha dropped, not
// blended, grey spread, the upper 8 of 16 bits.
func decodePNG(data []byte, f *vision.Frame, flip Flip) error {
	size, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the PNG cannot be read: %w", err)
	}
	if size.Width*size.Height > maxPixels {
		return fmt.Errorf("the PNG has %d×%d pixels, more than %d", size.Width, size.Height, maxPixels)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the PNG cannot be read: %w", err)
	}
	p := picture{pix: make([]byte, 0, 3*size.Width*size.Height), width: size.Width, height: size.Height, channels: 3}
	for y := range size.Height {
		for x := range size.Width {
			r, g, b := colourAt(img, x, y)
			p.pix = append(p.pix, b, g, r)
		}
	}
	return p.copyTo(f, flip)
}

// maxPixels is the largest picture that is decoded: 402 MB as a frame. OpenCV's own limit is 2³⁰.
const maxPixels = 1 << 27

// colourAt is a pixel without its alpha. Types with alpha are asked for the colour before it was
// applied.
func colourAt(img image.Image, x, y int) (r, g, b byte) {
	switch m := img.(type) {
	case *image.NRGBA:
		c := m.NRGBAAt(x, y)
		return c.R, c.G, c.B
	case *image.NRGBA64:
		c := m.NRGBA64At(x, y)
		return byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8)
	case *image.Paletted:
		if c, ok := m.At(x, y).(color.NRGBA); ok {
			return c.R, c.G, c.B
		}
	}
	r32, g32, b32, _ := img.At(x, y).RGBA()
	return byte(r32 >> 8), byte(g32 >> 8), byte(b32 >> 8)
}
