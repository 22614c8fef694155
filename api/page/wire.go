package page

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/vision"
)

// hello is the first message of a socket, and comes again when another network answers, and with
// summer time.
type hello struct {
	Type     string   `json:"type"` // hello
	Version  string   `json:"version"`
	Commit   string   `json:"commit"`
	Device   string   `json:"device"`
	Name     string   `json:"name"`
	Site     string   `json:"site,omitempty"`
	Zone     string   `json:"zone"`   // name of the device's time zone
	Offset   int      `json:"offset"` // seconds east of UTC
	Cameras  []Camera `json:"cameras"`
	Labels   []string `json:"labels"`
	Unknown  string   `json:"unknown"`
	Act      bool     `json:"act"`
	Pictures bool     `json:"pictures"`
	Samples  bool     `json:"samples"`
	Unsafe   bool     `json:"unsafe"`
	Login    bool     `json:"login"`   // there is a session that can be ended
	CanAct   bool     `json:"can_act"` // whoever logs in with the token for it
}

// state is what is new since the message before.
type state struct {
	Type     string        `json:"type"` // state
	Now      int64         `json:"now"`  // ms, by the clock of the device
	Cameras  []cameraState `json:"cameras,omitempty"`
	Troubles *[]Trouble    `json:"troubles,omitempty"`
	Noted    uint64        `json:"noted"` // number of the last event
}

// cameraState is one stream. Scores have four digits.
type cameraState struct {
	Index     int          `json:"i"` // in hello.Cameras
	Status    string       `json:"status"`
	Why       string       `json:"why,omitempty"`
	Dark      bool         `json:"dark,omitempty"`
	On        bool         `json:"on"`
	Threshold float64      `json:"threshold"`
	Own       [][2]float64 `json:"own,omitempty"` // index of a class with a threshold of its own, and that
	Confirm   int          `json:"confirm"`
	Hyst      float64      `json:"hysteresis"`
	Dwell     int64        `json:"dwell"` // ms
	Smoothing float64      `json:"smoothing"`
	Seen      bool         `json:"seen"`
	Label     int          `json:"label"` // -1: unknown
	Score     float64      `json:"p"`
	Since     int64        `json:"since"` // ms
	Top       [][2]float64 `json:"top"`   // index and score, best first
	Frame     uint64       `json:"frame"`
	Time      int64        `json:"t"` // ms
	FPS       float64      `json:"fps"`
	Total     float64      `json:"ms"`    // from the capture to the decision
	Began     [][2]uint64  `json:"began"` // classes, and how often each began to hold today: the most frequent
}

// newLabel is one change of the label of a stream: none is left out, and each comes at once.
type newLabel struct {
	Type  string  `json:"type"` // label
	Index int     `json:"i"`    // in hello.Cameras
	Label int32   `json:"label"`
	Score float64 `json:"p"`
	Since int64   `json:"since"` // ms
}

func stateOf(index int, s *live.State, labels []string) cameraState {
	c := cameraState{
		Index: index, Status: s.Status, Why: s.Why, Dark: s.Dark, On: !s.Off, Threshold: s.Decide.Threshold,
		Confirm: s.Decide.Confirm, Hyst: s.Decide.Hysteresis, Dwell: s.Decide.Dwell.Milliseconds(),
		Smoothing: s.Decide.Smoothing, Seen: s.Seen, Label: -1, Top: [][2]float64{}, Began: mostFrequent(s.Began),
	}
	own, _ := vision.ParseThresholds(s.Decide.Thresholds) // was validated
	for _, t := range own {
		if i := slices.Index(labels, t.Label); i >= 0 {
			c.Own = append(c.Own, [2]float64{float64(i), t.Score})
		}
	}
	if s.Seen {
		c.Label, c.Score, c.Since = s.Stable.Index, round4(s.Stable.Score), s.Since.UnixMilli()
		c.Frame, c.Time, c.FPS = s.Frame, s.Time.UnixMilli(), math.Round(s.FPS*10)/10
		c.Total = math.Round(s.Total.Seconds()*1e5) / 100
		for _, class := range s.Top {
			c.Top = append(c.Top, [2]float64{float64(class.Index), round4(class.Score)})
		}
	}
	return c
}

// mostCounts is how many classes have a count on the page.
const mostCounts = 12

// mostFrequent are the classes that began to hold most often, and how often.
func mostFrequent(began []uint64) [][2]uint64 {
	most := make([][2]uint64, 0, mostCounts+1)
	for i, n := range began {
		if n == 0 || len(most) == mostCounts && n <= most[mostCounts-1][1] {
			continue
		}
		at, _ := slices.BinarySearchFunc(most, n, func(m [2]uint64, n uint64) int { return cmp.Compare(n, m[1]) })
		for at < len(most) && most[at][1] == n { // the first of equals stays first
			at++
		}
		most = slices.Insert(most, at, [2]uint64{uint64(i), n})
		most = most[:min(len(most), mostCounts)]
	}
	return most
}

func round4(score float32) float64 { return math.Round(float64(score)*1e4) / 1e4 }

// ask is what a viewer sends: for the next picture of a camera, or whether it looks at all.
type ask struct {
	Camera  int    `json:"camera"` // in hello.Cameras
	Network bool   `json:"network"`
	After   uint64 `json:"after"` // number of the picture before; 0: any
	Quiet   *bool  `json:"quiet"` // true: no state until false
}

// askLimit is how long a message of a viewer may be, bytes.
const askLimit = 512

// headerSize is the length of a picture's header, bytes: version 1, kind (0 frame, 1 network),
// camera (16 bits), width and height (16), frame (64), time in ms (64), number (64), and the part
// of the frame that the network saw: left, top, right, bottom in 65535ths (16 each). Big-endian.
const headerSize = 40

// pictureMessage is the binary message of a picture.
func pictureMessage(camera int, asNetwork bool, p *live.Picture) []byte {
	b := make([]byte, headerSize, headerSize+len(p.Bytes))
	b[0] = 1
	if asNetwork {
		b[1] = 1
	}
	binary.BigEndian.PutUint16(b[2:], uint16(camera))
	binary.BigEndian.PutUint16(b[4:], uint16(min(p.Width, math.MaxUint16)))
	binary.BigEndian.PutUint16(b[6:], uint16(min(p.Height, math.MaxUint16)))
	binary.BigEndian.PutUint64(b[8:], p.Frame)
	binary.BigEndian.PutUint64(b[16:], uint64(p.Time.UnixMilli()))
	binary.BigEndian.PutUint64(b[24:], p.Number)
	for i, share := range p.Seen {
		binary.BigEndian.PutUint16(b[32+2*i:], uint16(math.Round(share*math.MaxUint16)))
	}
	return append(b, p.Bytes...)
}

// hello is the first message for a viewer with the rights.
func (p *Page) hello(rights Rights) hello {
	zone, offset := p.zone()
	labels, unknown := p.live.Labels()
	if unknown == "" {
		unknown = vision.Unknown
	}
	return hello{
		Type: "hello", Version: p.about.Version, Commit: p.about.Commit, Device: p.about.ID, Name: p.about.Name,
		Site: p.about.Site, Zone: zone, Offset: offset, Cameras: p.about.Cameras, Labels: labels, Unknown: unknown,
		Act: rights.Act, Pictures: p.about.Pictures, Samples: p.about.Samples && p.about.Pictures,
		Unsafe: p.about.Unsafe, Login: rights.Holds != nil, CanAct: p.about.CanAct,
	}
}

// check returns what is wrong with a wish, for the one who sent it.
func (a *ask) check(cameras int) error {
	if a.Camera < 0 || a.Camera >= cameras {
		return fmt.Errorf("there is no camera %d", a.Camera)
	}
	return nil
}
