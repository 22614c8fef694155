package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"regexp"
	"strconv"
)

// ErrDamaged is the error of a sealed file that holds something else than what was written.
var ErrDamaged = errors.New("does not match its checksum: it is damaged, or was changed by hand")

// seal is the last key of a sealed object: the CRC-32C of all that stands before it. To who does not
// know it, it is one key more.
var seal = regexp.MustCompile(`,?"crc32c":"([0-9a-f]{8})"\}\n?$`)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSealed is WriteFileMode of v, an object in JSON, with a checksum in it: of a file that says what
// is to be done elsewhere, one flipped bit can make something else that can be read as well.
func WriteSealed(path string, mode fs.FileMode, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = text[:len(text)-1] // its brace
	comma := ","
	if len(text) == 1 {
		comma = ""
	}
	sum := crc32.Checksum(text, castagnoli)
	return WriteFileMode(path, mode, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s%s\"crc32c\":\"%08x\"}\n", text, comma, sum)
		return err
	})
}

// ReadSealed reads a file of at most limit bytes that WriteSealed has written into v. One without a
// checksum is of a version of this program that wrote none. After an error v is undefined.
func ReadSealed(path string, limit int64, v any) error {
	text, err := ReadSmall(path, limit)
	if err != nil {
		return err
	}
	if at := seal.FindSubmatchIndex(text); at != nil {
		want, _ := strconv.ParseUint(string(text[at[2]:at[3]]), 16, 32)
		if crc32.Checksum(text[:at[0]], castagnoli) != uint32(want) {
			return fmt.Errorf("%s %w", path, ErrDamaged)
		}
	}
	return json.Unmarshal(text, v)
}
