package main

import (
	"bytes"
	"fmt"
	"os"
)

// Types of NAL units: ITU-T H.264 table 7-1, H.265 table 7-1.
const (
	h264SPS, h264PPS, h264AUD          = 7, 8, 9
	h265VPS, h265SPS, h265PPS, h265AUD = 32, 33, 34, 35
)

// unit is one coded picture: its NAL units without start codes.
type unit [][]byte

func nalType(nal []byte, codec string) int {
	if codec == "h265" {
		return int(nal[0]) >> 1 & 0x3F
	}
	return int(nal[0]) & 0x1F
}

// readUnits splits a file at its start codes, and into pictures at the delimiters.
func readUnits(path, codec string) ([]unit, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
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
