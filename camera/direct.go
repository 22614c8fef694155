package camera

import (
	"encoding/binary"

	"github.com/vggse/vggse-agent/vision"
)

// foreign says of a source whether the memory of frames that are given to it is not Go's, so that C
// may write to it while it decodes.
type foreign bool

func (m *foreign) isForeign() { *m = true }

// memory is where the decoder may write the frame itself; nil: nowhere.
func (m foreign) memory(f *vision.Frame, flip Flip) []byte {
	if !m || flip != FlipNone {
		return nil
	}
	return f.Pix[:0]
}

// Foreign tells that the memory of frames that are given to Read from now on is not Go's, but mapped
// or C's: a decoder may then write to it without a copy in between.
func (s *Stream) Foreign() {
	if source, ok := s.source.(interface{ isForeign() }); ok {
		source.isForeign()
	}
}

// marks are how many places of a frame's memory tell whether a decoder has written to it.
const marks = 16

// placeMarks writes numbers that follow from seed into memory, and marked reports whether all of
// them are still there. Memory of less than 16 numbers has none.
func placeMarks(memory []byte, seed uint64) {
	for i := range marks {
		if at := markAt(memory, i); at >= 0 {
			binary.LittleEndian.PutUint64(memory[at:], seed+uint64(i))
		}
	}
}

func marked(memory []byte, seed uint64) bool {
	for i := range marks {
		at := markAt(memory, i)
		if at < 0 || binary.LittleEndian.Uint64(memory[at:]) != seed+uint64(i) {
			return false
		}
	}
	return true
}

func markAt(memory []byte, i int) int {
	if len(memory) < 8*marks {
		return -1
	}
	return i * (len(memory) - 8) / (marks - 1)
}
