package vision

// Drift tells whether the pictures of a camera go on looking like those of a reference. It is a chart of
// cumulative sums (Page 1954, doi 10.2307/2333009): a picture with a p-value below strange, which one in ten
// pictures of the reference has, adds strangeAdds to a sum, every other one takes usualTakes from it, down to
// 0. At DriftLimit the pictures have drifted, until the sum is 0 again.
//
// Pictures that are asked DriftEvery apart and are like the reference reach the limit once in 1,444,839 (501
// days); of such that are all strange 9 do, where half are strange 25, where three in ten are 78. These are
// means, of pictures that do not depend on each other. The zero value is ready; it is for one goroutine.
type Drift struct {
	sum     int
	drifted bool
}

// What the chart goes by. See TestDriftFalseAlarms.
const (
	strange     = 0.1
	strangeAdds = 7
	usualTakes  = 2
	DriftLimit  = 62
)

// Add takes the p-value of the next picture. It returns whether Drifted has changed.
func (d *Drift) Add(p float32) bool {
	if p < strange {
		d.sum = min(DriftLimit, d.sum+strangeAdds)
	} else {
		d.sum = max(0, d.sum-usualTakes)
	}
	before := d.drifted
	d.drifted = d.sum == DriftLimit || d.drifted && d.sum > 0
	return d.drifted != before
}

// Drifted tells whether the pictures look unlike those of the reference.
func (d *Drift) Drifted() bool { return d.drifted }

// Score is how near the pictures are to that, 0..1; 1: there.
func (d *Drift) Score() float64 { return float64(d.sum) / DriftLimit }
