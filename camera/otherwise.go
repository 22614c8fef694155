package camera

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// otherKinds are the first bytes of files that come in the place of a picture, and what they are.
var otherKinds = []struct {
	at          int
	start, what string
}{
	{4, "ftyphei", "a picture in HEIC"}, {4, "ftyphevc", "a picture in HEIC"}, {4, "ftyphevx", "a picture in HEIC"},
	{4, "ftypmif1", "a picture in HEIF"}, {4, "ftypmsf1", "a picture in HEIF"}, {4, "ftypavi", "a picture in AVIF"},
	{4, "ftypcrx", "a raw picture of a camera"}, {0, "FUJIFILMCCD-RAW", "a raw picture of a camera"},
	{12, "CgBI", "a PNG as Xcode writes it for an iPhone"},
	{8, "WEBP", "a picture in WebP"}, {0, "GIF8", "a picture in GIF"},
	{0, "II*\x00\x10\x00\x00\x00CR", "a raw picture of a camera"},
	{0, "II*\x00", "a picture in TIFF"}, {0, "MM\x00*", "a picture in TIFF"},
	{0, "II+\x00", "a picture in TIFF"}, {0, "MM\x00+", "a picture in TIFF"},
	{4, "jP  \r\n\x87\n", "a picture in JPEG 2000"}, {0, "\xff\x4f\xff\x51", "a picture in JPEG 2000"},
	{4, "JXL \r\n\x87\n", "a picture in JPEG XL"}, {0, "\xff\x0a", "a picture in JPEG XL"},
	{0, "8BPS", "a picture of Photoshop"}, {0, "\x00\x00\x01\x00", "an icon (ICO)"}, {0, "icns", "an icon (ICNS)"},
	{0, "v/1\x01", "a picture in OpenEXR"}, {0, "#?RADIANCE", "a picture in HDR"}, {0, "DDS ", "a picture in DDS"},
	{0, "qoif", "a picture in QOI"}, {0, "%PDF", "a PDF"}, {0, "%!PS", "PostScript"},
}

// notPictures are files that a download or a copy leaves in the place of a picture, with the cure.
var notPictures = []struct {
	at          int
	start, what string
}{
	{0, "version https://git-lfs", "a pointer of Git LFS, not the picture itself: run git lfs pull"},
	{0, "PK\x03\x04", "an archive (ZIP): unpack it first"}, {0, "\x1f\x8b", "compressed (gzip): unpack it first"},
	{0, "\x00\x05\x16\x07", "what macOS notes beside a file (AppleDouble), no picture: delete it"},
	{4, "ftyp", "a film: give it an ending such as .mp4"},
	{0, "\x1aE\xdf\xa3", "a film: give it an ending such as .mkv"},
	{8, "AVI ", "a film: give it the ending .avi"},
}

// notFilms are files that stand in the place of a film, with the cure.
var notFilms = []struct{ start, what string }{
	{"#extm3u", playlist}, {"[playlist]", playlist}, {"ffconcat", playlist}, {"file '", playlist},
	{"v=0\r\no=", description}, {"v=0\no=", description},
	{"version https://git-lfs", "a pointer of Git LFS, not the film itself: run git lfs pull"},
	{"PK\x03\x04", "an archive (ZIP): unpack it first"}, {"\x1f\x8b", "compressed (gzip): unpack it first"},
	{"rar!", "an archive (RAR): unpack it first"}, {"7z\xbc\xaf\x27\x1c", "an archive (7z): unpack it first"},
}

const (
	playlist    = "a playlist: name one of its films, or join them: ffmpeg -i LIST -c copy film.mp4"
	description = "a session description (SDP): give the camera's rtsp:// address or, for RTP that is sent to this " +
		"machine, rtp://@:PORT?codec=h264"
)

// noFilm says what a file that begins so is instead of a film, with the cure; "" where it may be one.
func noFilm(start []byte) string {
	text := bytes.ToLower(bytes.TrimLeft(start, "\xef\xbb\xbf \t\r\n"))
	for _, kind := range notFilms {
		if bytes.HasPrefix(text, []byte(kind.start)) || bytes.HasPrefix(start, []byte(kind.start)) {
			return kind.what
		}
	}
	switch {
	case bytes.HasPrefix(text, []byte("<")) && bytes.Contains(text, []byte("<mpd")):
		return playlist
	case bytes.HasPrefix(text, []byte("<")):
		return "no film but a page (HTML or XML): download it again, by its raw address"
	case bytes.HasPrefix(start, []byte(pngStart)) && !bytes.Contains(start, []byte("acTL")): // which would move
		return "a picture in PNG: give it the ending .png"
	case len(start) > hollowEnd/2 && len(bytes.Trim(start, "\x00")) == 0:
		return "no film but zeros: copy it again"
	}
	return ""
}

// otherwise says what a file holds that is no picture of a kind that is read, and the cure.
func otherwise(data []byte) string {
	for _, kind := range otherKinds {
		if len(data) > kind.at && bytes.HasPrefix(data[kind.at:], []byte(kind.start)) {
			return kind.what + ", not in PNG, JPEG or BMP: convert it to one of them"
		}
	}
	for _, kind := range notPictures {
		if len(data) > kind.at && bytes.HasPrefix(data[kind.at:], []byte(kind.start)) {
			return kind.what
		}
	}
	start := data[:min(len(data), 512)]
	if len(data) > 2 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' &&
		strings.ContainsRune(" \n\r\t", rune(data[2])) {
		return "a picture in Netpbm (PPM), not in PNG, JPEG or BMP: convert it to one of them"
	}
	text := bytes.ToLower(bytes.TrimLeft(start, "\xef\xbb\xbf \t\r\n"))
	switch {
	case bytes.Contains(text, []byte("<svg")):
		return "a drawing (SVG), not in PNG, JPEG or BMP: convert it to one of them"
	case bytes.HasPrefix(text, []byte("<")):
		return "no picture in PNG, JPEG or BMP but a page (HTML or XML): download it again, by its raw address"
	case len(bytes.Trim(start, "\x00")) == 0:
		return fmt.Sprintf("no picture in PNG, JPEG or BMP but %d zeros at its start: copy it again", len(start))
	case utf8.Valid(start) && !bytes.ContainsFunc(start, func(r rune) bool { return r < '\t' }):
		return "no picture in PNG, JPEG or BMP but text: look into it, it may be a server's refusal"
	}
	return "no picture in PNG, JPEG or BMP"
}
