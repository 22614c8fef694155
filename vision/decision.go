package vision

import "time"

// Unknown is the label of a Decision that nothing supports: no class reached the threshold.
const Unknown = "unknown"

// Class is one label of a network with its score.
type Class struct {
	Label string
	Index int     // row in the label list; -1 for Unknown
	Score float32 // softmax probability, 0..1
}

// Latency says where the time of one frame went, from capture to the decision.
type Latency struct {
	Capture    time.Duration // time inside the read that returned the frame
	Preprocess time.Duration
	Wait       time.Duration // ready, until the network was free
	Infer      time.Duration
	Post       time.Duration // softmax, smoothing, decision
	Total      time.Duration // Frame.Time until the decision stood
}

// Decision is what the agent says about one frame.
type Decision struct {
	Camera  string
	Frame   uint64    // Frame.Seq
	Time    time.Time // Frame.Time
	Top     []Class   // best first, of this frame (smoothed where smoothing is on); at most top_k
	Labels  []Class   // of ScoresSigmoid: all that reach the threshold in this frame, best first
	Stable  Class     // what holds after threshold and confirmation
	Before  Class     // the Stable of before the last change
	Changed bool      // Stable is another class than in the decision before
	// PValue is the share of the pictures of known classes, those of the network's reference, that
	// look at least as little known as this frame, above 0 to 1; 0: the network has no reference.
	PValue  float32
	Unknown bool // PValue is below DecideConfig.UnknownBelow: this frame shows none of the classes
	Latency Latency
	// Signals are what the network told of the frame besides; nil: nothing. They are the
	// pipeline's, and valid until the call returns in which the decision is handed out.
	Signals *Signals
}

// CopyTo overwrites d with a deep copy of s but for its Signals, reusing d's memory: no allocation
// once d.Top and d.Labels have grown. Signals are copied with their CopyFrom.
func (s *Decision) CopyTo(d *Decision) {
	top, labels := append(d.Top[:0], s.Top...), append(d.Labels[:0], s.Labels...)
	*d = *s
	d.Top, d.Labels, d.Signals = top, labels, nil
}

// Margin is the distance between the two best scores, 0..1; 1 where there is only one class.
func (s *Decision) Margin() float32 {
	if len(s.Top) < 2 {
		return 1
	}
	return s.Top[0].Score - s.Top[1].Score
}
