package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Types of NAL units: ITU-T H.264 table 7-1, H.265 table 7-1.
const (
	h264SPS, h264PPS, h264AUD          = 7, 8, 9
	h265VPS, h265SPS, h265PPS, h265AUD = 32, 33, 34, 35
)

// unit is one coded picture: its NAL units without start codes, or of other codecs the picture alone.
type unit [][]byte

func nalType(nal []byte, codec string) int {
	if codec == "h265" {
		return int(nal[0]) >> 1 & 0x3F
	}
	return int(nal[0]) & 0x1F
}

// readUnits splits a file into pictures: IVF by its sizes, others at their start codes, H.264 and H.265 at
// the delimiters.
func readUnits(path, codec string) ([]unit, error) {
	data, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, err
	case codec == "vp8" || codec == "vp9":
		return ivfUnits(data)
	case codec == "mpeg4":
		return mpeg4Units(data)
	}
	delimiter := h264AUD
	if codec == "h265" {
		delimiter = h265AUD
	}
	var units []unit
	for _, nal := range bytes.Split(data, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		if len(nal) == 0 {
			continue
		}
		if nalType(nal, codec) == delimiter {
			units = append(units, nil)
			continue
		}
		if len(units) == 0 {
			return nil, fmt.Errorf("%s does not start with an access unit delimiter: encode with aud=1", path)
		}
		units[len(units)-1] = append(units[len(units)-1], nal)
	}
	if len(units) == 0 {
		return nil, fmt.Errorf("%s holds no pictures", path)
	}
	return units, nil
}

// parameter returns the NAL unit of the given type in the first picture.
func parameter(units []unit, codec string, wanted int) []byte {
	for _, nal := range units[0] {
		if nalType(nal, codec) == wanted {
			return nal
		}
	}
	return nil
}

// ivfUnits are the frames of an IVF file: 32 bytes of header, then each behind 4 bytes of size and 8 of
// time.
func ivfUnits(data []byte) (units []unit, err error) {
	for data = data[min(32, len(data)):]; len(data) > 12; {
		size := int(binary.LittleEndian.Uint32(data))
		if size > len(data)-12 {
			break
		}
		units = append(units, unit{data[12 : 12+size]})
		data = data[12+size:]
	}
	if len(units) == 0 {
		return nil, errors.New("the file holds no pictures")
	}
	return units, nil
}

// Start codes of MPEG-4 (ISO/IEC 14496-2, table 6-3): of a group, and of a picture.
const mpeg4Group, mpeg4Picture = 0xb3, 0xb6

// mpeg4Units splits a stream behind each picture: headers belong to the next one.
func mpeg4Units(data []byte) (units []unit, err error) {
	start, picture := 0, false
	for at := 0; at+4 <= len(data); at++ {
		if data[at] != 0 || data[at+1] != 0 || data[at+2] != 1 {
			continue
		}
		if picture {
			units, start, picture = append(units, unit{data[start:at]}), at, false
		}
		picture = data[at+3] == mpeg4Picture
	}
	if !picture {
		return nil, errors.New("the file holds no pictures")
	}
	return append(units, unit{data[start:]}), nil
}

// mpeg4Config is what stands before the first picture or group.
func mpeg4Config(first []byte) []byte {
	for at := 0; at+4 <= len(first); at++ {
		if bytes.HasPrefix(first[at:], []byte{0, 0, 1}) && (first[at+3] == mpeg4Group || first[at+3] == mpeg4Picture) {
			return first[:at]
		}
	}
	return first
}
