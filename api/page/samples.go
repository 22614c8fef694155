package page

import (
	"cmp"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

const (
	samplesPage    = 200  // samples in one answer, at most
	samplesAtOnce  = 500  // names in one action, at most
	thumbnailWidth = 320  // pixels
	labelLimit     = 1000 // bytes
)

// review is where samples are looked through; false: it has answered that there are none.
func (p *Page) review(w http.ResponseWriter) (*samples.Review, bool) {
	r := p.agent.Samples()
	switch {
	case !p.about.Pictures:
		refuse(w, http.StatusForbidden, "pictures are switched off: http.pictures")
	case r == nil:
		refuse(w, http.StatusNotFound, "no samples are kept: samples.dir")
	default:
		return r, true
	}
	return nil, false
}

// samples lists what was kept, filtered and ordered as the request says.
func (p *Page) samples(w http.ResponseWriter, r *http.Request) {
	review, ok := p.review(w)
	if !ok {
		return
	}
	all, err := review.List()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	out := struct {
		Total   int              `json:"total"` // kept
		Marked  int              `json:"marked"`
		Found   int              `json:"found"` // that the filter lets through
		Labels  []string         `json:"labels"`
		Samples []samples.Sample `json:"samples"`
	}{Total: len(all), Samples: []samples.Sample{}}
	out.Labels, _ = p.live.Labels()
	for i := range all {
		if all[i].Marked {
			out.Marked++
			if !slices.Contains(out.Labels, all[i].Right) {
				out.Labels = append(out.Labels, all[i].Right)
			}
		}
	}
	every := slices.Clone(all)
	all = slices.DeleteFunc(all, func(s samples.Sample) bool { return !wanted(&s, r) })
	switch r.FormValue("order") {
	case "uncertain":
		slices.SortStableFunc(all, func(a, b samples.Sample) int { return cmp.Compare(margin(&a), margin(&b)) })
	case "different":
		all = review.Spread(all, every)
	}
	out.Found = len(all)
	offset, _ := strconv.Atoi(r.FormValue("offset")) // nonsense is 0
	if offset = max(0, offset); offset < len(all) {
		out.Samples = all[offset:min(len(all), offset+samplesPage)]
	}
	answer(w, http.StatusOK, out)
}

// wanted reports whether a sample passes the filter of a request: camera, label, marked and below.
func wanted(s *samples.Sample, r *http.Request) bool {
	if camera := r.FormValue("camera"); camera != "" && s.Camera != camera {
		return false
	}
	if label := r.FormValue("label"); label != "" && s.Right != label && (s.Marked || s.Best().Label != label) {
		return false
	}
	if below, err := strconv.ParseFloat(r.FormValue("below"), 32); err == nil && float64(s.Best().Score) >= below {
		return false
	}
	switch r.FormValue("marked") {
	case "yes":
		return s.Marked
	case "no":
		return !s.Marked
	}
	return true
}

// margin is the distance between the two best scores: the smaller, the less the network knew.
func margin(s *samples.Sample) float32 {
	if len(s.Top) < 2 {
		return s.Best().Score
	}
	return s.Top[0].Score - s.Top[1].Score
}

// samplePicture is one sample: the file as it was kept, or with small=1 a JPEG that is small.
func (p *Page) samplePicture(w http.ResponseWriter, r *http.Request) {
	review, ok := p.review(w)
	if !ok {
		return
	}
	f, err := review.Picture(r.FormValue("name"))
	if err != nil {
		status := http.StatusNotFound
		if !errors.Is(err, samples.ErrNoSample) {
			status = http.StatusInternalServerError
		}
		refuse(w, status, err.Error())
		return
	}
	defer f.Close()
	if r.FormValue("small") != "1" {
		w.Header().Set("Content-Type", "image/png")
		http.ServeContent(w, r, "", time.Time{}, f)
		return
	}
	p.thumbnails.Lock() // one at a time: they are not to take the processor from the network
	defer p.thumbnails.Unlock()
	img, err := png.Decode(f)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "this sample is damaged: "+err.Error())
		return
	}
	small, err := (live.JPEG{Width: thumbnailWidth, Quality: 80}).Encode(vision.FrameOf(img))
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	_, _ = w.Write(small) // fails only where the asker has gone
}

// samplesZip is what was marked, one folder for each label; all=1: the rest, too.
func (p *Page) samplesZip(w http.ResponseWriter, r *http.Request) {
	review, ok := p.review(w)
	if !ok {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)) // half a gigabyte on a slow line
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="samples.zip"`)
	if err := review.Zip(w, r.FormValue("all") == "1"); err != nil {
		panic(http.ErrAbortHandler) // so that nobody takes half of it for the whole
	}
}

// chosen are the samples of an action.
type chosen struct {
	Names []string `json:"names"`
	Label *string  `json:"label"` // the right one; absent: none
}

func (p *Page) choose(r *http.Request) (c chosen, review *samples.Review, err error) {
	review = p.agent.Samples()
	switch err = decode(r, &c); {
	case err != nil:
	case !p.about.Pictures || review == nil:
		err = errors.New("no samples are kept, or pictures are switched off")
	case len(c.Names) == 0 || len(c.Names) > samplesAtOnce:
		err = fmt.Errorf("names: between 1 and %d, got %d", samplesAtOnce, len(c.Names))
	case c.Label != nil && (strings.TrimSpace(*c.Label) == "" || len(*c.Label) > labelLimit):
		err = fmt.Errorf("label: must be a word of at most %d bytes", labelLimit)
	}
	return c, review, err
}

func (p *Page) markSamples(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	c, review, err := p.choose(r)
	if err != nil {
		return "", "", err
	}
	n, err := review.Mark(c.Names, c.Label)
	if err != nil {
		return "", "", fmt.Errorf("%d of %d done: %w", n, len(c.Names), err)
	}
	if c.Label == nil {
		return fmt.Sprintf("%d samples unmarked", n), "", nil
	}
	return fmt.Sprintf("%d samples marked %q", n, *c.Label), "", nil
}

func (p *Page) deleteSamples(_ http.ResponseWriter, r *http.Request) (done, camera string, err error) {
	c, review, err := p.choose(r)
	if err != nil {
		return "", "", err
	}
	n, err := review.Delete(c.Names)
	if err != nil {
		return "", "", fmt.Errorf("%d of %d done: %w", n, len(c.Names), err)
	}
	return fmt.Sprintf("%d samples deleted", n), "", nil
}
