package camera

import "testing"

// Memory that a decoder has not written to keeps its marks; one changed byte among them tells that
// it has.
func TestMarks(t *testing.T) {
	for _, size := range []int{8 * marks, 3 * 64 * 48, 3 * 1280 * 720} {
		memory := make([]byte, size)
		placeMarks(memory, 7)
		if !marked(memory, 7) || marked(memory, 8) {
			t.Errorf("%d bytes: marks of 7: %t, of 8: %t", size, marked(memory, 7), marked(memory, 8))
		}
		for _, at := range []int{0, size - 1, markAt(memory, 5) + 3} {
			changed := append([]byte(nil), memory...)
			changed[at]++
			if marked(changed, 7) {
				t.Errorf("%d bytes: byte %d has changed", size, at)
			}
		}
	}
	if small := make([]byte, 8*marks-1); marked(small, 0) {
		t.Error("memory too small for marks is taken for unwritten")
	}
}
