package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestSealedBits: with whatever bit flipped, a sealed file holds what was written or is refused; so
// does one that is cut, and one of two values that are mixed.
func TestSealedBits(t *testing.T) {
	type content struct {
		Topics []string       `json:"topics"`
		Scores map[string]int `json:"scores"`
	}
	path := filepath.Join(t.TempDir(), "file")
	want := content{[]string{"vggse/edge/cam/thresholds/state", `"crc32c":"01234567"}`}, map[string]int{"nut": 7}}
	if err := WriteSealed(path, 0o600, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func(what string, at int, text []byte) {
		var got content
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ReadSealed(path, 1<<10, &got); err != nil {
			refused++
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s at %d is read as %+v", what, at, got)
		}
	}
	try("nothing", 0, text)
	if refused > 0 {
		t.Fatal("what was written is refused")
	}
	for bit := range 8 * len(text) {
		text[bit/8] ^= 1 << (bit % 8)
		try("a flipped bit", bit, text)
		text[bit/8] ^= 1 << (bit % 8)
	}
	if refused < 4*len(text) {
		t.Errorf("%d of %d flips are refused", refused, 8*len(text))
	}
	for n := range text {
		try("an end", n, text[:n])
	}
}

// TestSealedOthers: an empty object is sealed as well, what an earlier version wrote without a checksum
// is read, and who knows of none reads what is sealed.
func TestSealedOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		text string
		want int
		err  error
	}{
		{`{"n":7}` + "\n", 7, nil},
		{`{"n":7,"crc32c":"00000000"}` + "\n", 0, ErrDamaged},
		{`{"n":7,"crc32c":"00000000" }`, 7, nil}, // no seal: nobody wrote it so
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got struct{ N int }
		if err := ReadSealed(path, 1<<10, &got); !errors.Is(err, c.err) || err == nil && got.N != c.want {
			t.Errorf("%s: %d, %v", c.text, got.N, err)
		}
	}
	for _, v := range []any{struct{}{}, map[string]int{"a": 1}} {
		if err := WriteSealed(path, 0o600, v); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]any)
		if err := ReadSealed(path, 1<<10, &got); err != nil || len(got["crc32c"].(string)) != 8 {
			t.Errorf("%v: %v, %v", v, got, err)
		}
	}
}
