package dataset

import (
	"fmt"
	"math"
	"math/bits"
	"sort"

	"github.com/vggse/vggse-agent/vision"
)

// Look is what one picture summaries like to somebody who distrusts it.
type Summary struct {
	Hash  uint64     // 64-bit difference hash: near-duplicates differ in few bits
	Mean  float64    // 0..255
	Std   float64    // of the grey levels
	Rough float64    // mean difference of neighbours over Std: about 1.1 for noise, far less for scenes
	Tint  [3]float64 // means of blue, green and red, of the sample
	Class int        // of the label, -1 where unknown
	Guess int        // of the network
	Half  int        // 0 for the first pictures of a folder by their names, 1 for the others
}

// side of the grid that a picture is averaged to: 9×8 differences make the hash.
const hashSide = 8

// NewLook summaries at a frame.
func Summarize(f *vision.Frame) Summary {
	var l Summary
	var sum, squares, steps, n float64
	stride := max(1, f.Width*f.Height/50_000) // a sample of each row is enough
	for y := range f.Height {
		row := f.Pix[y*f.Stride:]
		for x := y % stride; x+1 < f.Width; x += stride {
			g, next := grey(row[3*x:]), grey(row[3*x+3:])
			sum, squares, steps, n = sum+g, squares+g*g, steps+math.Abs(next-g), n+1
			for c := range l.Tint {
				l.Tint[c] += float64(row[3*x+c])
			}
		}
	}
	if n > 0 {
		l.Mean = sum / n
		l.Std = math.Sqrt(max(0, squares/n-l.Mean*l.Mean))
		for c := range l.Tint {
			l.Tint[c] /= n
		}
	}
	if l.Std > 0 {
		l.Rough = steps / n / l.Std
	}
	l.Hash, l.Class, l.Guess = differenceHash(f), -1, -1
	return l
}

func grey(p []byte) float64 {
	return 0.114*float64(p[0]) + 0.587*float64(p[1]) + 0.299*float64(p[2])
}

// differenceHash averages the frame to 9×8 cells; bit i says whether a cell is brighter than the
// one on its right (dHash, Krawetz 2013).
func differenceHash(f *vision.Frame) uint64 {
	var cells [hashSide][hashSide + 1]float64
	for j := range hashSide {
		for i := range hashSide + 1 {
			x0, x1 := i*f.Width/(hashSide+1), max((i+1)*f.Width/(hashSide+1), i*f.Width/(hashSide+1)+1)
			y0, y1 := j*f.Height/hashSide, max((j+1)*f.Height/hashSide, j*f.Height/hashSide+1)
			n := 0.0
			for y := y0; y < min(y1, f.Height); y += 1 + (y1-y0)/16 {
				for x := x0; x < min(x1, f.Width); x += 1 + (x1-x0)/16 {
					cells[j][i] += grey(f.Pix[y*f.Stride+3*x:])
					n++
				}
			}
			cells[j][i] /= max(1, n)
		}
	}
	var hash uint64
	for j := range hashSide {
		for i := range hashSide {
			hash <<= 1
			if cells[j][i] > cells[j][i+1] {
				hash |= 1
			}
		}
	}
	return hash
}

// Limits of what is believed.
const (
	fewPictures  = 100
	nearBits     = 2    // hashes that differ in so many bits are of the same scene
	nearShare    = 0.10 // of near-duplicates
	darkMean     = 16.0
	brightMean   = 240.0
	flatStd      = 3.0
	badShare     = 0.10 // of dark, bright or flat pictures
	noiseRough   = 0.9
	refusedShare = 0.5
)

// Distrust returns what speaks against a set of pictures, the gravest first. classes is the number
// of labels. What is refused makes any calibration worthless.
func Audit(summaries []Summary, classes int) []Finding {
	var found []Finding
	n := len(summaries)
	warn := func(check string, hits int, limit float64, what, cure string) {
		share := float64(hits) / float64(n)
		if hits == 0 || share <= limit {
			return
		}
		severity := "warn"
		if share > refusedShare && (check == "flat" || check == "noise" || check == "dark") {
			severity = "refuse"
		}
		found = append(found, Finding{check, severity, fmt.Sprintf("%d of %d pictures (%.0f %%) %s", hits, n,
			100*share, what), cure})
	}
	var dark, bright, flat, noise int
	for _, l := range summaries {
		switch {
		case l.Std < flatStd:
			flat++
		case l.Rough > noiseRough:
			noise++
		case l.Mean < darkMean:
			dark++
		case l.Mean > brightMean:
			bright++
		}
	}
	warn("flat", flat, badShare, fmt.Sprintf("have one colour only (grey levels vary by less than %.0f)", flatStd),
		"look whether the lens is covered or the source is empty")
	warn("noise", noise, badShare, "are noise: neighbouring pixels have nothing in common",
		"check the decoder and the pixel format of the source")
	warn("dark", dark, badShare, fmt.Sprintf("are darker than %.0f of 255", darkMean),
		"calibrate in the light that the camera will work in")
	warn("bright", bright, badShare, fmt.Sprintf("are brighter than %.0f of 255", brightMean), "check the exposure")
	warn("near-duplicates", nearDuplicates(summaries), nearShare, "show the same as another one",
		"take pictures at different times, not all frames of a still scene")
	if n < fewPictures {
		found = append(found, Finding{"few", "warn", fmt.Sprintf("%d different pictures to calibrate on", n),
			fmt.Sprintf("%d to 1000 make the ranges stable", fewPictures)})
	}
	found = append(found, oneSided(summaries, classes)...)
	found = append(found, halves(summaries)...)
	sort.SliceStable(found, func(a, b int) bool {
		return found[a].Severity == "refuse" &&
			found[b].Severity != "refuse"
	})
	return found
}

// halfShift is how far apart two halves may be in units of the pictures' own spread, where that is
// no chance: 4 standard errors.
const halfShift = 0.6

// halves finds sets whose earlier pictures look otherwise than their later ones: two cameras, or a
// light that was changed.
func halves(summaries []Summary) []Finding {
	for _, m := range []struct {
		what string
		of   func(l *Summary) float64
	}{
		{"brightness", func(l *Summary) float64 { return l.Mean }},
		{"contrast", func(l *Summary) float64 { return l.Std }},
		{"share of blue", func(l *Summary) float64 { return 100 * l.Tint[0] / max(1, l.Tint[0]+l.Tint[1]+l.Tint[2]) }},
		{"share of red", func(l *Summary) float64 { return 100 * l.Tint[2] / max(1, l.Tint[0]+l.Tint[1]+l.Tint[2]) }},
	} {
		var sum, squares, n [2]float64
		for i := range summaries {
			v, h := m.of(&summaries[i]), summaries[i].Half
			sum[h], squares[h], n[h] = sum[h]+v, squares[h]+v*v, n[h]+1
		}
		if min(n[0], n[1]) < 20 {
			return nil
		}
		a, b := sum[0]/n[0], sum[1]/n[1]
		spread := math.Sqrt(max(1e-3, (squares[0]+squares[1]-n[0]*a*a-n[1]*b*b)/(n[0]+n[1])))
		if shift := math.Abs(a-b) / spread; shift > max(halfShift, 4*math.Sqrt(1/n[0]+1/n[1])) {
			return []Finding{{"halves", "warn",
				fmt.Sprintf("the first half of the pictures (by name) has a mean %s of %.1f, the second of %.1f",
					m.what, a, b),
				"take both kinds in the proportion in which the camera will see them, or calibrate for each apart"}}
		}
	}
	return nil
}

// nearDuplicates counts the pictures that look like an earlier one.
func nearDuplicates(summaries []Summary) int {
	count := 0
	for i := range summaries {
		for j := range i {
			if bits.OnesCount64(summaries[i].Hash^summaries[j].Hash) <= nearBits &&
				math.Abs(summaries[i].Mean-summaries[j].Mean) < 2 && math.Abs(summaries[i].Std-summaries[j].Std) < 1 {
				count++
				break
			}
		}
	}
	return count
}

// oneSided finds labels that are missing, or an answer that is always the same.
func oneSided(summaries []Summary, classes int) []Finding {
	labels, guesses, known := map[int]int{}, map[int]int{}, 0
	for _, l := range summaries {
		guesses[l.Guess]++
		if l.Class >= 0 {
			labels[l.Class]++
			known++
		}
	}
	n := len(summaries)
	switch {
	case classes < 2 || n < 2*classes:
		return nil
	case known > n/2 && len(labels) == 1:
		return []Finding{{"one class", "warn", fmt.Sprintf("all %d labelled pictures are of one class of %d", known,
			classes), "add pictures of the other classes: their layers' ranges are not seen"}}
	case known > n/2 && len(labels) < classes && 10*len(labels) < 9*classes:
		return []Finding{{"absent classes", "warn", fmt.Sprintf("%d of %d classes have no picture",
			classes-len(labels), classes), "add some of each"}}
	case known <= n/2 && len(guesses) == 1:
		return []Finding{{"one class", "warn", fmt.Sprintf("the network gives the same answer for all %d pictures", n),
			"check that the pictures are of what the network knows, and the preprocessing in model.yaml"}}
	}
	return nil
}
