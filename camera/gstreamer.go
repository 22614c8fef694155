//go:build gocv

package camera

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "gstreamer.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/vggse/vggse-agent/vision"
)

// gstThere reports whether this machine has GStreamer.
var gstThere = sync.OnceValue(func() bool { return C.vggse_gst_there() != 0 })

// pipelineError is what GStreamer says against a pipeline; "" where it has nothing to say.
func pipelineError(text string) string {
	if !gstThere() {
		return ""
	}
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	return taken(C.vggse_gst_parse_error(c))
}

// taken is a text of C's, "" for NULL.
func taken(c *C.char) string {
	if c == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(c))
	return C.GoString(c)
}

// lacksElement reports whether GStreamer surely has no element of this name.
func lacksElement(name string) bool {
	if !gstThere() {
		return false
	}
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.vggse_gst_has_element(c) == 0
}

// pipeline is a running GStreamer pipeline whose pictures are converted into the memory of frames, as
// its element videoconvert would do it into memory of its own.
type pipeline struct {
	c       *C.struct_gst
	news    *os.File      // tells that there may be a picture; a call into C that waits costs Go a thread that asks
	limit   time.Duration // for a frame; 0: none
	count   [8]byte       // of what news tells
	waiting bool          // a frame that the opening has waited for
	whole   vision.Frame  // before it is turned
}

// patience is how long a part of a pipeline that has failed may wait to be heard while no frame comes.
const patience = 500 * time.Millisecond

// filmLimit is how long a film may take to its first picture.
const filmLimit = 15 * time.Second

// openPipeline starts p's pipeline; that of a film is open once it has a picture.
func openPipeline(p *plan) (capturer, error) {
	g := &pipeline{c: (*C.struct_gst)(C.calloc(1, C.sizeof_struct_gst)), limit: p.wait}
	text := C.CString(p.text)
	defer C.free(unsafe.Pointer(text))
	if p.ahead {
		g.c.ahead = 1
	}
	if p.full {
		g.c.full = 1
	}
	if p.unedited {
		g.c.unedited = 1
	}
	why := taken(C.vggse_gst_open(g.c, text))
	if g.c.news > 0 {
		g.news = os.NewFile(uintptr(g.c.news), "pictures")
	}
	if why != "" {
		g.close()
		return nil, &pipelineFailure{why}
	}
	if p.patient {
		return g, nil
	}
	g.limit = filmLimit
	if g.waiting = g.pull(); !g.waiting {
		why := g.why()
		g.close()
		return nil, &pipelineFailure{why}
	}
	if C.vggse_gst_legible(g.c) == 0 { // as colours from a palette that the container has kept to itself
		g.close()
		return nil, &pipelineFailure{"its pictures cannot be read"}
	}
	g.limit = p.wait
	return g, nil
}

// pipelineFailure is an errNotOpened for which GStreamer has words.
type pipelineFailure struct{ why string }

func (e *pipelineFailure) Error() string { return e.why }
func (e *pipelineFailure) Unwrap() error { return errNotOpened }

// pull waits for the next picture; false: none came.
func (g *pipeline) pull() bool {
	for start := time.Now(); ; {
		switch C.vggse_gst_pull(g.c) {
		case C.GST_FRAME:
			return true
		case C.GST_END:
			return false
		}
		wait := patience
		if g.limit > 0 {
			wait = min(wait, g.limit-time.Since(start))
		}
		if wait <= 0 || g.news.SetReadDeadline(time.Now().Add(wait)) != nil {
			return false
		}
		if _, err := g.news.Read(g.count[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
}

// why is what the first part of the pipeline that failed has told.
func (g *pipeline) why() string {
	if g.c.why == nil {
		return ""
	}
	return C.GoString(g.c.why)
}

func (g *pipeline) read([]byte) (bool, error) {
	if g.waiting {
		g.waiting = false
		return true, nil
	}
	return g.pull(), nil
}

// copyTo converts the picture into f.
func (g *pipeline) copyTo(f *vision.Frame, flip Flip) error {
	width, height := int(g.c.width), int(g.c.height)
	if width <= 0 || height <= 0 {
		return fmt.Errorf("the pipeline gave a picture of %d×%d pixels", width, height)
	}
	to := f
	if flip != FlipNone {
		to = &g.whole
	}
	to.Resize(width, height)
	if C.vggse_gst_convert(g.c, unsafe.Pointer(&to.Pix[0])) == 0 {
		return errors.New("a picture of the pipeline cannot be read")
	}
	if to == f {
		return nil
	}
	p := picture{pix: to.Pix, width: width, height: height, channels: 3}
	return p.copyTo(f, flip)
}

func (g *pipeline) property(p property) float64 {
	switch {
	case p == propWidth:
		return float64(g.c.width)
	case p == propHeight:
		return float64(g.c.height)
	case p == propPosition:
		return float64(C.vggse_gst_time(g.c)) / 1e6
	case p == propFPS && g.c.rate[1] > 0:
		return float64(g.c.rate[0]) / float64(g.c.rate[1])
	}
	return 0
}

func (g *pipeline) set(property, float64) {}

// close ends the pipeline; it may be called twice.
func (g *pipeline) close() error {
	if g.c != nil {
		C.vggse_gst_close(g.c)
		C.free(unsafe.Pointer(g.c))
		g.c = nil
		g.news.Close()
	}
	return nil
}
