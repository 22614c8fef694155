// Package worker runs each camera in a process of its own, this program once more, so that nothing
// that a stream does to its decoder can hurt anything else:
//
//	camera ──Frame──▶ [shared memory] ──Frame──▶ agent/pipeline
//
// The child opens the source and decodes; frames come over in a ring of shared memory that this
// process makes, seals and maps, and everything else as messages over a socket. Nothing that the
// child says is believed: indices, sizes and times are checked against what this process knows,
// texts are shortened, and a child that says what cannot be is killed. A child that is silent, or
// stuck in C, is killed too; for the reader all that is a camera that was lost. On request the child
// also encodes pictures as JPEG, over a socket and in memory beside those of the frames.
package worker

import (
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/camera"
)

// Verb is the argument with which this program is started as a child.
const Verb = "camera-worker"

// Asked reports whether the command line args, with the program's name, is that of a child: then
// the program does nothing but Main. A program that opens cameras asks first; that of a test, too,
// or its child would run all tests once more.
func Asked(args []string) bool {
	able.Store(true)
	return len(args) == 2 && args[1] == Verb
}

var able atomic.Bool // this program can be its own child

const (
	// aliveEvery is how often a child says that it is alive, whatever its decoder does.
	aliveEvery = time.Second
	// closeGrace is for a good-bye to the server, which else keeps the session of a viewer who has
	// gone.
	closeGrace = time.Second
)

// limits are how long a child may take before it is taken for hung, and killed.
type limits struct {
	start   time.Duration // to its first word: a slow card loads 200 libraries
	silence time.Duration // between two words
	// connect is for the opening of a network camera: a server may take 12 s for an answer and
	// FFmpeg 15 s to its key frame. open is for others: GStreamer may look through all its plugins.
	connect, open time.Duration
	// slack is what a read may take beyond twice its own limit; read is for one that has none. first
	// comes to that for the first frame.
	slack, read, first time.Duration
}

var usual = limits{
	start: 30 * time.Second, silence: 6 * time.Second, connect: time.Minute, open: 20 * time.Second,
	slack: 6 * time.Second, read: 30 * time.Second, first: 30 * time.Second,
}

// opening is how long an opening of c may take, which is slow by its settings.
func (l *limits) opening(c *camera.Config, slow time.Duration) time.Duration {
	limit := l.open
	if c.Network() {
		limit = l.connect
	}
	return limit + slow
}

// reading is how long the read of a frame may take, after so many, of a camera that is slow by its settings.
func (l *limits) reading(info *camera.Info, slow time.Duration, frames uint64) time.Duration {
	limit := l.read
	if info.ReadLimit > 0 && info.ReadLimit < time.Hour {
		limit = 2*info.ReadLimit + l.slack
	}
	if frames == 0 {
		limit += l.first
	}
	return limit + slow
}
