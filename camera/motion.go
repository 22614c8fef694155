package camera

import (
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	// motionColumns × motionRows parts of a picture are compared: coarse enough that noise averages
	// out, fine enough that something of a twentieth of the picture's width is seen.
	motionColumns, motionRows = 32, 18
	// motionSamples² pixels of each part are looked at.
	motionSamples = 6
	// awake is how long frames are classified after the last movement, whatever else: what has come
	// to rest is the picture that counts.
	awake = time.Second
	// motionHeartbeat is where mqtt.publish.heartbeat is off.
	motionHeartbeat = time.Minute
)

// Motion sees whether a part of the picture has changed since the scene was last at rest. It is for
// one goroutine.
type Motion struct {
	threshold float64 // change of the mean brightness of a part, 0..1
	confirm   int     // frames that are classified after a movement, at least
	every     time.Duration

	scene     [motionColumns * motionRows]float64 // that later ones are compared with
	known     bool
	last      time.Time // classified
	moving    time.Time // last seen
	remaining int       // frames to classify, movement or not
}

// NewMotion sees changes of the mean brightness of a part beyond threshold, 0..1. After one,
// confirm frames are classified at least; a still scene once in half a heartbeat (0:
// motionHeartbeat).
func NewMotion(threshold float64, confirm int, heartbeat time.Duration) *Motion {
	if heartbeat <= 0 {
		heartbeat = motionHeartbeat
	}
	// Half of it: where it goes by the publisher's, the one frame must not come just before that
	// one's is due.
	return &Motion{threshold: threshold, confirm: confirm, every: heartbeat / 2}
}

// Moved reports whether the frame is worth a run of the network; another network has not seen even
// the stillest scene. Drift counts too: the scene is replaced only when something moved.
func (m *Motion) Moved(f *vision.Frame, another bool) bool {
	var now [motionColumns * motionRows]float64
	brightness(f, &now)
	changed := !m.known || another
	for i := range now {
		if d := now[i] - m.scene[i]; d > m.threshold || d < -m.threshold {
			changed = true
			break
		}
	}
	if changed {
		m.scene, m.known = now, true
		m.moving, m.remaining = f.Time, m.confirm+1
	}
	if changed || m.remaining > 0 || f.Time.Sub(m.moving) < awake || f.Time.Sub(m.last) >= m.every {
		m.remaining = max(0, m.remaining-1)
		m.last = f.Time
		return true
	}
	return false
}

// brightness is the mean of green, which is most of what the eye calls brightness, in each part of
// the picture, 0..1.
func brightness(f *vision.Frame, parts *[motionColumns * motionRows]float64) {
	for row := range motionRows {
		for column := range motionColumns {
			sum := 0
			for j := range motionSamples {
				y := (row*motionSamples + j) * f.Height / (motionRows * motionSamples)
				line := f.Pix[y*f.Stride:]
				for i := range motionSamples {
					x := (column*motionSamples + i) * f.Width / (motionColumns * motionSamples)
					sum += int(line[3*x+1])
				}
			}
			parts[row*motionColumns+column] = float64(sum) / (255 * motionSamples * motionSamples)
		}
	}
}
