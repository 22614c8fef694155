package camera

import (
	"bytes"
	"io"
	"os"
	"syscall"
)

// filmMagic are the first bytes of films.
var filmMagic = []struct {
	at    int
	start string
}{
	{4, "ftypisom"}, {4, "ftypiso"}, {4, "ftypmp4"}, {4, "ftypavc1"}, {4, "ftypqt  "}, {4, "ftypM4V"}, {4, "ftyp3g"},
	{4, "ftypdash"}, {4, "ftypMSNV"}, {0, "\x1aE\xdf\xa3"}, {8, "AVI "}, {0, "FLV\x01"},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"}, {0, "OggS"},
	{0, "\x00\x00\x01\xba"}, {0, "\x00\x00\x01\xb3"}, {0, "YUV4MPEG2 "}, {0, "DKIF"}, {0, "GIF8"},
}

// IsFilmFile reports whether a file is a film: by its name, or, where that is not a picture's, by how
// it begins. Of a file that cannot be read it says no.
func IsFilmFile(path string) bool {
	if IsFilm(path) || IsPicture(path) {
		return IsFilm(path)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return false
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	start := make([]byte, 3*packetOfTS)
	n, _ := io.ReadFull(file, start)
	return beginsAsFilm(start[:n])
}

// packetOfTS is the length of a packet of an MPEG transport stream with its time in front (M2TS).
const packetOfTS = 192

func beginsAsFilm(start []byte) bool {
	for _, f := range filmMagic {
		if len(start) > f.at && bytes.HasPrefix(start[f.at:], []byte(f.start)) {
			return true
		}
	}
	for _, packet := range []struct{ at, length int }{{0, 188}, {4, packetOfTS}} {
		if len(start) > packet.at+2*packet.length && start[packet.at] == 'G' &&
			start[packet.at+packet.length] == 'G' && start[packet.at+2*packet.length] == 'G' {
			return true
		}
	}
	return false
}
