package resample

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"testing"
)

// recorded are the rows of a file that testdata/opencv.py wrote.
func recorded(t *testing.T, name string) [][6]any {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var goldens struct{ Rows [][6]any }
	if err := json.Unmarshal(text, &goldens); err != nil {
		t.Fatal(err)
	}
	return goldens.Rows
}

// planFor is the resize of a row.
func planFor(t *testing.T, row [6]any, f Filter) (p *Plan, src []byte) {
	t.Helper()
	n := [4]int{}
	for i := range n {
		n[i] = int(row[1+i].(float64))
	}
	p, err := New(Geometry{SrcWidth: n[0], SrcHeight: n[1], DstWidth: n[2], DstHeight: n[3], Width: n[2],
		Height: n[3]}, f)
	if err != nil {
		t.Fatal(err)
	}
	return p, drawn(n[0], n[1])
}

// Every filter of OpenCV at a thousand random sizes: linear, and area where a side grows, to the
// byte; cubic, and area where the picture shrinks, within one level and 0.02 on average.
func TestOpenCVFilters(t *testing.T) {
	filters := map[string]Filter{"linear": Linear, "area": Area, "cubic": Cubic}
	compared := map[string]int{}
	sum, levels := map[string]int{}, map[string]int{}
	for _, row := range recorded(t, "opencv.json") {
		name := row[0].(string)
		p, src := planFor(t, row, filters[name])
		got := resized(t, p, src)
		if crc, exact := row[5].(float64); exact {
			compared[name+", to the byte"]++
			if crc32.ChecksumIEEE(got) != uint32(crc) {
				t.Fatalf("%v: not OpenCV's bytes", row[:5])
			}
			continue
		}
		want, err := base64.StdEncoding.DecodeString(row[5].(string))
		if err != nil || len(want) != len(got) {
			t.Fatalf("%v: %v, %d bytes", row[:5], err, len(want))
		}
		compared[name]++
		for i, w := range want {
			d := max(int(w)-int(got[i]), int(got[i])-int(w))
			if d > 1 {
				t.Fatalf("%v: byte %d is %d, OpenCV's is %d", row[:5], i, got[i], w)
			}
			sum[name], levels[name] = sum[name]+d, levels[name]+1
		}
	}
	for name, n := range levels {
		if mean := float64(sum[name]) / float64(n); mean > 0.02 {
			t.Errorf("%s: %.3f levels off on average", name, mean)
		}
	}
	for _, name := range []string{"linear, to the byte", "area, to the byte", "cubic", "area"} {
		if compared[name] != 1000 {
			t.Errorf("%s: %d sizes were compared, want 1000", name, compared[name])
		}
	}
}

// tf-bilinear is TensorFlow's to a ten-thousandth of a level: it is not rounded to bytes.
func TestTensorFlowBilinear(t *testing.T) {
	rows := recorded(t, "tensorflow.json")
	if len(rows) != 300 {
		t.Fatalf("%d sizes", len(rows))
	}
	for _, row := range rows {
		p, src := planFor(t, row, TFBilinear)
		g := &p.geo
		dst := Target{Stride: g.Width, Tables: levels()}
		for c := range dst.Planes {
			dst.Planes[c] = make([]float32, g.Width*g.Height)
		}
		if err := p.Apply(&dst, src, 3*g.SrcWidth); err != nil {
			t.Fatal(err)
		}
		want, err := base64.StdEncoding.DecodeString(row[5].(string))
		if err != nil || len(want) != 12*g.Width*g.Height {
			t.Fatalf("%v: %v, %d bytes", row[:5], err, len(want))
		}
		for i := range g.Width * g.Height {
			for c := range 3 { // red, green, blue; planes are blue, green, red
				w := float64(math.Float32frombits(binary.LittleEndian.Uint32(want[4*(3*i+c):])))
				got := float64(dst.Planes[2-c][i] - dst.Tables[2-c][0])
				if math.Abs(got-w) > 1e-3 {
					t.Fatalf("%v: pixel %d is %g, TensorFlow's is %g", row[:5], i, got, w)
				}
			}
		}
	}
}
