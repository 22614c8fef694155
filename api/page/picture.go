package page

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// picturePatience is how long a camera may take to give the frame of a .jpg.
const picturePatience = 5 * time.Second

// boundary stands between two pictures of a stream.
const boundary = "picture"

// picture is /live/<camera>.jpg, the next frame that is decided on, and /live/<camera>.mjpeg, one
// after the other, for other programs.
func (p *Page) picture(w http.ResponseWriter, r *http.Request) {
	camera, kind := r.PathValue("file"), ""
	if i := strings.LastIndexByte(camera, '.'); i > 0 {
		camera, kind = camera[:i], camera[i:]
	}
	known := slices.ContainsFunc(p.about.Cameras, func(c Camera) bool { return c.Name == camera })
	switch {
	case !p.about.Pictures:
		http.Error(w, "pictures are switched off: http.pictures", http.StatusForbidden)
	case !known || kind != ".jpg" && kind != ".mjpeg":
		http.Error(w, "there is no such picture: /live/CAMERA.jpg or /live/CAMERA.mjpeg", http.StatusNotFound)
	case kind == ".jpg":
		p.still(w, r, camera)
	case p.enter(w):
		defer p.leave()
		p.stream(w, r, camera)
	}
}

func (p *Page) still(w http.ResponseWriter, r *http.Request, camera string) {
	ctx, cancel := context.WithTimeout(r.Context(), picturePatience)
	defer cancel()
	picture, err := p.live.Picture(ctx, camera, false, 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", picture.Type)
	h.Set("Content-Length", strconv.Itoa(len(picture.Bytes)))
	h.Set("X-Frame-Time", picture.Time.UTC().Format(time.RFC3339Nano))
	_, _ = w.Write(picture.Bytes) // fails only where the asker has gone
}

// stream sends pictures until the asker goes or does not take one within writeLimit.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, camera string) {
	control, after := http.NewResponseController(w), uint64(0)
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
	for {
		picture, err := p.live.Picture(r.Context(), camera, false, after)
		if err != nil {
			return
		}
		after = picture.Number
		if rights := RightsOf(r); rights.Holds != nil && !rights.Holds() {
			return
		}
		if control.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
			return
		}
		_, err = fmt.Fprintf(w, "--%s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", boundary, picture.Type,
			len(picture.Bytes))
		if err != nil {
			return
		}
		if _, err = w.Write(append(picture.Bytes[:len(picture.Bytes):len(picture.Bytes)], "\r\n"...)); err != nil ||
			control.Flush() != nil {
			return
		}
	}
}
