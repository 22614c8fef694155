package teach_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/teach"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

const demoBundle = "../demo/bundle"

func open(ctx context.Context, dir, precision string) (*infer.Network, error) {
	if precision == "" {
		precision = "auto"
	}
	return infer.OpenBundle(ctx, dir, precision, infer.Config{Threads: 1})
}

func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
}

// pictures are n of the demo, and as many of each further label as it says, which show stripes.
func pictures(t *testing.T, n int, others map[string]int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	if err := demo.WriteDataset(t.Context(), dir, demo.Dataset{Images: n, Seed: 5, Width: 96, Height: 72},
		func() {}); err != nil {
		t.Fatal(err)
	}
	for label, n := range others {
		for i := range n {
			stripes(t, filepath.Join(dir, label, strconv.Itoa(i)+".png"), uint64(i), false)
		}
	}
	return dir
}

// stripes writes a picture of coloured stripes, upright or across.
func stripes(t *testing.T, path string, seed uint64, across bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	p, width, phase := image.NewRGBA(image.Rect(0, 0, 96, 72)), 4+6*r.Float64(), 6*r.Float64()
	for y := range 72 {
		for x := range 96 {
			at := x
			if across {
				at = y
			}
			v := uint8(128 + 100*math.Sin(float64(at)/width+phase))
			p.SetRGBA(x, y, color.RGBA{v, uint8(20 + 10*r.Float64()), 255 - v, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A new class is found, the old ones are kept, and teaching the taught bundle again costs a head.
func TestTeach(t *testing.T) {
	needRuntime(t)
	images := pictures(t, 13*8, map[string]int{"stripes": 8})
	if err := os.WriteFile(filepath.Join(images, "stripes", "damaged.png"), []byte("\x89PNG"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "taught")
	r, err := teach.Run(t.Context(), open, teach.Options{Bundle: demoBundle, Images: images, Out: out, Workers: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Added, []string{"stripes"}) || r.Labels[13] != "stripes" || len(r.Missed) > 0 {
		t.Errorf("added %v, labels %v, missed %v", r.Added, r.Labels, r.Missed)
	}
	if r.Pictures+r.Copies != 13*8+8 || r.Old.Top1.Of < 13*7 || r.After.Top1.Value < 0.8 {
		t.Errorf("%d pictures, %d copies, old %+v, after %+v", r.Pictures, r.Copies, r.Old.Top1, r.After.Top1)
	}
	if !slices.ContainsFunc(r.After.Classes, func(c eval.ClassResult) bool {
		return c.Label == "stripes" &&
			c.Recall.Value == 1
	}) {
		t.Errorf("stripes are not all found: %+v", r.After.Classes)
	}
	if f := r.Findings; !slices.ContainsFunc(f, func(f dataset.Finding) bool {
		return f.Check == "unreadable" && strings.Contains(f.Evidence, "damaged.png")
	}) {
		t.Errorf("the damaged picture is not named: %+v", f)
	}
	if u := r.Unknown; u == nil || u.Labels < 10 || u.After < 0.5 || u.Low > u.Gain || u.High < u.Gain ||
		len(u.ROC) != 6 || u.ROC[5].Found < u.ROC[0].Found {
		t.Errorf("unknown: %+v", u)
	}
	answers(t, out, "stripes", filepath.Join(images, "stripes", "0.png"))
	n, err := open(t.Context(), out, "")
	if err != nil {
		t.Fatal(err)
	}
	if n.Known() == nil || n.Known().Width() != 256 {
		t.Errorf("the taught bundle does not know its labels: %q", n.NoKnown())
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}

	if _, err := quant.Calibrate(t.Context(), quant.Options{Bundle: out, Images: images, Out: t.TempDir()},
		nil); err == nil || !strings.Contains(err.Error(), "then teach that") {
		t.Errorf("calibrating a taught bundle: %v", err)
	}

	addOnly(t, out)

	// Again, in another order of labels on disk: the same files but for the head, and its bytes
	// too.
	again := filepath.Join(t.TempDir(), "again")
	if _, err := teach.Run(t.Context(), open, teach.Options{Bundle: out, Images: images, Out: again, Workers: 1},
		nil); err != nil {
		t.Fatal(err)
	}
	before, after := files(t, out), files(t, again)
	if before[bundle.FileFP32] != after[bundle.FileFP32] {
		t.Error("teaching a taught bundle makes another network file")
	}
	for _, key := range []string{bundle.FileHead, bundle.FileGolden} {
		if after[key].SHA256 == "" {
			t.Errorf("no %s", key)
		}
	}
}

// addOnly gives the taught bundle one more class, from pictures of that class alone: the old ones are
// kept by their stored features.
func addOnly(t *testing.T, taught string) {
	t.Helper()
	images, out := filepath.Join(t.TempDir(), "pictures"), filepath.Join(t.TempDir(), "more")
	for i := range 8 {
		stripes(t, filepath.Join(images, "across", strconv.Itoa(i)+".png"), uint64(i), true)
	}
	o := teach.Options{Bundle: taught, Images: images, Out: out, Workers: 2}
	if _, err := teach.Run(t.Context(), open, o, nil); err == nil || !strings.Contains(err.Error(), "--add-only") {
		t.Errorf("without --add-only: %v", err)
	}
	o.AddOnly = true
	r, err := teach.Run(t.Context(), open, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Recalled) != 14 || !slices.Equal(r.Added, []string{"across"}) || r.Old.Top1.Of < 13*6 ||
		len(r.Missed) > 0 {
		t.Errorf("recalled %v, added %v, old %+v, missed %v", r.Recalled, r.Added, r.Old.Top1, r.Missed)
	}
	answers(t, out, "across", filepath.Join(images, "across", "3.png"))
	o.Bundle = demoBundle
	if _, err := teach.Run(t.Context(), open, o, nil); err == nil ||
		!strings.Contains(err.Error(), "no stored features") {
		t.Errorf("a bundle that was never taught: %v", err)
	}
}

func files(t *testing.T, dir string) map[string]bundle.File {
	t.Helper()
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := bundle.CheckAll(t.Context(), dir); err != nil {
		t.Error(err)
	}
	return b.Spec.Files
}

// answers sees that the bundle in dir calls a picture label, and passes verify.
func answers(t *testing.T, dir, label, path string) {
	t.Helper()
	n, err := open(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := verify.Run(t.Context(), n, verify.Options{}, nil); err != nil {
		t.Error(err)
	}
	c, err := eval.NewClassifier(n, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Classify(t.Context(), path)
	if err != nil || a.Top[0].Label != label {
		t.Errorf("%s: %+v, %v", path, a, err)
	}
}

// The same pictures give the same bytes, however many work on them and whatever their files are
// called.
func TestSameBytes(t *testing.T) {
	needRuntime(t)
	images := pictures(t, 13*5, nil)
	var sums []string
	for _, workers := range []int{1, 3} {
		if workers == 3 {
			otherNames(t, images)
		}
		out := filepath.Join(t.TempDir(), "taught")
		r, err := teach.Run(t.Context(), open, teach.Options{Bundle: demoBundle, Images: images, Out: out,
			Workers: workers}, nil)
		if err != nil || len(r.Missed) > 0 {
			t.Fatalf("%v %v", r, err)
		}
		sums = append(sums, files(t, out)[bundle.FileHead].SHA256)
	}
	if sums[0] != sums[1] {
		t.Error("another number of workers, or other names, make another head")
	}
}

// otherNames renames all pictures below dir so that they are listed the other way round.
func otherNames(t *testing.T, dir string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for i, path := range all {
		to := fmt.Sprintf("other-%06d%s", len(all)-i, filepath.Ext(path))
		if err := os.Rename(path, filepath.Join(filepath.Dir(path), to)); err != nil {
			t.Fatal(err)
		}
	}
}

// With under five pictures of a class it answers with the nearest mean, and says that so few tell
// little.
func TestFew(t *testing.T) {
	needRuntime(t)
	images := pictures(t, 13*3, map[string]int{"stripes": 3})
	out := filepath.Join(t.TempDir(), "taught")
	r, err := teach.Run(t.Context(), open, teach.Options{Bundle: demoBundle, Images: images, Out: out, Workers: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != teach.MethodMeans || !slices.ContainsFunc(r.Findings,
		func(f dataset.Finding) bool { return f.Check == "few" }) {
		t.Errorf("%s, %+v", r.Method, r.Findings)
	}
	if len(r.Missed) == 0 {
		answers(t, out, "stripes", filepath.Join(images, "stripes", "1.png"))
	}
}

// A new label that shows the same as an old one cannot be found: nothing but reports come out.
func TestGate(t *testing.T) {
	needRuntime(t)
	images := pictures(t, 13*8, nil)
	if err := demo.WriteDataset(t.Context(), filepath.Join(images, "more"), demo.Dataset{Images: 13 * 14, Seed: 9,
		Width: 96, Height: 72}, func() {}); err != nil {
		t.Fatal(err)
	}
	// Pictures of all classes, under one name.
	all, err := filepath.Glob(filepath.Join(images, "more", "*", "*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	if err := os.Mkdir(filepath.Join(images, "anything"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, path := range all {
		to := filepath.Join(images, "anything", strconv.Itoa(i)+filepath.Ext(path))
		if err := os.Rename(path, to); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "taught")
	r, err := teach.Run(t.Context(), open, teach.Options{Bundle: demoBundle, Images: images, Out: out, Workers: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Missed) == 0 || !strings.HasPrefix(r.Verdict, "not better: ") {
		t.Errorf("%v, %s", r.Missed, r.Verdict)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 2 || left[0].Name() != "report.html" || left[1].Name() != "report.json" {
		t.Errorf("%v %v", left, err)
	}
}

func TestRefused(t *testing.T) {
	needRuntime(t)
	images := pictures(t, 13*2, nil)
	one := filepath.Join(t.TempDir(), "one")
	stripes(t, filepath.Join(one, "stripes", "0.png"), 1, false)
	for name, c := range map[string]struct{ bundle, images, says string }{
		"no bundle":        {t.TempDir(), images, "is not a bundle"},
		"no pictures":      {demoBundle, t.TempDir(), "no picture in it"},
		"old ones missing": {demoBundle, one, "has no folder of pictures for bearing, bolt-m6"},
	} {
		out := filepath.Join(t.TempDir(), "taught")
		_, err := teach.Run(t.Context(), open, teach.Options{Bundle: c.bundle, Images: c.images, Out: out, Workers: 1},
			nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: something was left behind", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "taught")
	_, err := teach.Run(ctx, open, teach.Options{Bundle: demoBundle, Images: images, Out: out, Workers: 1}, nil)
	if _, left := os.Stat(out); !errors.Is(err, context.Canceled) || left == nil {
		t.Errorf("cancelled: %v, left %v", err, left)
	}
	// In the midst, when the network is open.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	_, err = teach.Run(ctx, func(ctx context.Context, dir, precision string) (*infer.Network, error) {
		n, err := open(ctx, dir, precision)
		cancel()
		return n, err
	}, teach.Options{Bundle: demoBundle, Images: images, Out: out, Workers: 1}, nil)
	left, _ := os.ReadDir(filepath.Dir(out))
	if !errors.Is(err, context.Canceled) || len(left) > 0 {
		t.Errorf("cancelled in the midst: %v, left %v", err, left)
	}
}

// The head of another bundle, or a damaged one, is refused when the bundle is opened.
func TestHeadOfAnother(t *testing.T) {
	needRuntime(t)
	out := filepath.Join(t.TempDir(), "taught")
	if _, err := teach.Run(t.Context(), open, teach.Options{Bundle: demoBundle, Images: pictures(t, 13*5, nil),
		Out:     out,
		Workers: 2}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	change := func(classes, width int) {
		h, err := vision.NewHead(nil, make([]float32, classes*width), make([]float32, classes))
		if err != nil {
			t.Fatal(err)
		}
		if b.Spec.Files[bundle.FileHead], err = infer.WriteHead(t.Context(), out, h); err != nil {
			t.Fatal(err)
		}
		if err := bundle.WriteSpec(out, &b.Spec); err != nil {
			t.Fatal(err)
		}
	}
	change(5, 256)
	if _, err := open(t.Context(), out, ""); err == nil || !strings.Contains(err.Error(), "has 5 rows") {
		t.Errorf("rows for another number of labels: %v", err)
	}
	change(13, 17)
	if _, err := open(t.Context(), out, ""); err == nil || !strings.Contains(err.Error(), "256") {
		t.Errorf("another number of features: %v", err)
	}
	change(13, 256)
	path, err := b.Path(bundle.FileHead)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), out, ""); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a changed head: %v", err)
	}
}

// Exported features are what the last layer reads: with it they give the answers of the bundle.
func TestExport(t *testing.T) {
	needRuntime(t)
	images, out := pictures(t, 13, nil), filepath.Join(t.TempDir(), "features.safetensors")
	x, err := teach.Export(t.Context(), open,
		teach.ExportOptions{Bundle: demoBundle, Images: images, Out: out, Views: true, Workers: 2}, nil)
	if err != nil || x.Images != 13 || x.Dim != 256 {
		t.Fatalf("%+v, %v", x, err)
	}
	f, err := checkpoint.Open(out, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	features, err := f.Tensor("features").Float32s()
	if err != nil {
		t.Fatal(err)
	}
	views, err := f.Tensor("views").Float32s()
	if err != nil || len(views) != 13*3*256 {
		t.Fatalf("%d numbers of views, %v", len(views), err)
	}
	for i := range 13 {
		look := views[3*256*i:][:3*256]
		if !slices.Equal(look[:256], features[256*i:][:256]) || slices.Equal(look[256:512], look[:256]) {
			t.Errorf("picture %d: the first look is the picture, the next ones are not", i)
		}
	}
	var paths, labels []string
	if err := errors.Join(json.Unmarshal([]byte(f.Metadata["files"]), &paths),
		json.Unmarshal([]byte(f.Metadata["labels"]), &labels)); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(filepath.Join(demoBundle, "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	last, err := m.LastLayer("logits")
	if err != nil {
		t.Fatal(err)
	}
	weight, bias, err := last.Values()
	if err != nil {
		t.Fatal(err)
	}
	h, err := vision.NewHead(nil, weight, bias)
	if err != nil {
		t.Fatal(err)
	}
	n, err := open(t.Context(), demoBundle, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c, err := eval.NewClassifier(n, 1)
	if err != nil {
		t.Fatal(err)
	}
	logits := make(vision.Logits, 13)
	for i, path := range paths {
		a, err := c.Classify(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		h.Apply(features[256*i:][:256], logits)
		if got := n.Bundle.Spec.Labels[vision.TopK(nil, logits, 1)[0]]; got != a.Top[0].Label ||
			labels[i] != filepath.Base(filepath.Dir(path)) {
			t.Errorf("%s: features say %s, the bundle %s", path, got, a.Top[0].Label)
		}
	}
}

// Files of a bundle may lie in folders of it.
func TestFilesInFolders(t *testing.T) {
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "bundle")
	b, err := bundle.Open(demoBundle)
	if err != nil {
		t.Fatal(err)
	}
	for key, f := range b.Spec.Files {
		to := filepath.Join("files", f.Path)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "files"), 0o755),
			atomicfile.LinkOrCopy(filepath.Join(demoBundle, f.Path), filepath.Join(dir, to))); err != nil {
			t.Fatal(err)
		}
		f.Path = to
		b.Spec.Files[key] = f
	}
	if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
		t.Fatal(err)
	}
	images, taught := pictures(t, 13*5, nil), filepath.Join(t.TempDir(), "taught")
	o := teach.Options{Bundle: dir, Images: images, Out: taught, Workers: 2}
	if _, err := teach.Run(t.Context(), open, o, nil); err != nil {
		t.Fatal(err)
	}
	files(t, taught)
}

// TestBeforeOfARoundedNetwork: what a calibrated bundle answered before is what its own file answers,
// whose last layer is not FP32's: here one that says the first label to everything.
func TestBeforeOfARoundedNetwork(t *testing.T) {
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "calibrated")
	if err := os.CopyFS(dir, os.DirFS(demoBundle)); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	changed := 0
	for i := range m.Graph.Initializers {
		if c := &m.Graph.Initializers[i]; slices.Equal(c.Dims, []int64{int64(len(b.Spec.Labels))}) {
			c.Data = slices.Clone(c.Data)
			binary.LittleEndian.PutUint32(c.Data, math.Float32bits(1000))
			changed++
		}
	}
	if changed != 1 {
		t.Fatalf("%d biases of the last layer", changed)
	}
	b.Spec.Files[bundle.FileINT8CPU], err = bundle.WriteFile(t.Context(), dir, "int8.cpu.onnx", io.Discard,
		func(w io.Writer) error { return onnx.Write(w, m) })
	if err := errors.Join(err, bundle.WriteSpec(dir, &b.Spec)); err != nil {
		t.Fatal(err)
	}
	r, err := teach.Run(t.Context(), open, teach.Options{Bundle: dir, Images: pictures(t, 13*6, nil),
		Out: filepath.Join(t.TempDir(), "taught"), Workers: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if before := r.After.Against.Top1; before == nil || math.Abs(before.Value-1./13) > 1e-9 || r.Precision != "int8" {
		t.Errorf("before, in %s: %+v, want one of 13", r.Precision, before)
	}
}
