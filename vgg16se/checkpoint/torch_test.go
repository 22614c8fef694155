package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A pickle, written by hand: the pieces of a state_dict of one float32 tensor.
const (
	proto    = "\x80\x02"
	float32s = "ctorch\nFloatStorage\n"
	rebuild  = "ctorch._utils\n_rebuild_tensor_v2\n"
	ordered  = "ccollections\nOrderedDict\n)R"
)

func str(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// integer pushes n.
func integer(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// view pushes a tensor of storage "0" with count elements.
func view(count, offset int64, shape, strides []int64) string {
	tuple := func(v []int64) string {
		s := "("
		for _, x := range v {
			s += integer(x)
		}
		return s + "t"
	}
	return rebuild + "((" + str("storage") + float32s + str("0") + str("cpu") + integer(count) + "tQ" +
		integer(offset) +
		tuple(shape) + tuple(strides) + "\x89" + ordered + "tR"
}

// archive makes the zip file that torch.save would; storage "0" holds data.
func archive(t testing.TB, program string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string][]byte{"x/data.pkl": []byte(program), "x/byteorder": []byte("little"),
		"x/data/0": data} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// floats is the content of a storage: 0, 1, 2, …
func floats(n int) []byte {
	var b []byte
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	return b
}

func TestHandMadeZip(t *testing.T) {
	program := proto + "}" + str("w") + view(6, 1, []int64{2, 2}, []int64{1, 2}) + "s."
	f, err := parse(archive(t, program, floats(6)), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.Format, f.Tensors[0].Name, values(t, &f.Tensors[0])); got != "pytorch zipw[1 3 2 4]" {
		t.Error(got)
	}
}

func TestNestedKeys(t *testing.T) {
	one := func(name string) string { return "}" + str(name) + view(1, 0, []int64{1}, []int64{1}) + "s" }
	program := proto + "}(" + str("epoch") + integer(3) + str("ema") + one("e") + str("optimizer") + one("o") +
		str("state_dict") + one("s") + str("deep") + "}" + str("er") + one("d") + "su."
	b := archive(t, program, floats(1))
	for key, want := range map[string]string{"": "s", "ema": "e", "state_dict": "s", "deep.er": "d"} {
		f, err := parse(b, key)
		if err != nil {
			t.Errorf("%q: %v", key, err)
		} else if f.Tensors[0].Name != want {
			t.Errorf("%q: got %s, want %s", key, f.Tensors[0].Name, want)
		} else if key == "" && fmt.Sprint(f.Key, f.Others) != "state_dict[ema deep.er]" {
			t.Errorf("took %s, left %v", f.Key, f.Others)
		}
	}
	both := archive(t, proto+one("w")+"}"+str("state")+"}"+integer(0)+"}"+str("step")+
		view(1, 0, []int64{1}, []int64{1})+
		"sss\x86.", floats(1))
	if f, err := parse(both, ""); err != nil || f.Key != "0" || f.Tensors[0].Name != "w" {
		t.Errorf("weights and optimizer as a pair: %+v, %v", f, err)
	}
	listed := archive(t, proto+"]("+integer(7)+one("w")+"e.", floats(1))
	if f, err := parse(listed, ""); err != nil || f.Key != "1" || f.Tensors[0].Name != "w" {
		t.Errorf("in a list: %+v, %v", f, err)
	}
	numbered := archive(t, proto+"}("+integer(0)+one("w")+integer(1)+"}"+str("lr")+integer(7)+"su.", floats(1))
	if f, err := parse(numbered, ""); err != nil || f.Key != "0" || f.Tensors[0].Name != "w" {
		t.Errorf("by number: %+v, %v", f, err)
	}
	if _, err := parse(archive(t, proto+"]("+integer(7)+integer(8)+"e.", nil), ""); err == nil ||
		!strings.Contains(err.Error(), "state_dict") {
		t.Errorf("numbers alone: %v", err)
	}
	if _, err := parse(b, "none"); err == nil || !strings.Contains(err.Error(), "there are: ema, state_dict, deep.er") {
		t.Errorf("got %v", err)
	}
}

// Two networks of one shape in one dict, told apart by what stands before their names, are two sets;
// a network of several parts is one.
func TestNetworksSideBySide(t *testing.T) {
	layers := func(of string, names ...string) (all string) {
		for _, name := range names {
			all += str(of+"."+name) + view(4, 0, []int64{2, 2}, []int64{2, 1})
		}
		return all
	}
	four := []string{"a.weight", "a.bias", "b.weight", "b.bias"}
	b := archive(t, proto+"}("+layers("student", four...)+layers("teacher", four...)+"u.", floats(4))
	for key, want := range map[string]string{"": "student [teacher]", "teacher": "teacher [student]"} {
		f, err := parse(b, key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		got := fmt.Sprint(f.Key, " ", f.Others)
		if rivals := fmt.Sprint(f.Rivals); rivals != map[string]string{"": "[teacher]", "teacher": "[]"}[key] {
			t.Errorf("%q: as likely are %s", key, rivals)
		}
		if got != want || f.Tensors[0].Name != "a.weight" || len(f.Tensors) != 4 {
			t.Errorf("%q: got %s, %s first of %d", key, got, f.Tensors[0].Name, len(f.Tensors))
		}
	}
	parts := proto + "}(" + layers("features", four...) + layers("classifier", "1.weight", "1.bias") + "u."
	if f, err := parse(archive(t, parts, floats(4)), ""); err != nil || f.Key != "" || len(f.Tensors) != 6 {
		t.Errorf("of one network: %+v, %v", f, err)
	}
	deep := proto
	for _, key := range []string{"run", "best", "trainer", "model", "state_dict"} {
		deep += "}" + str(key)
	}
	deep += "}(" + layers("x", four...) + "usssss."
	if f, err := parse(archive(t, deep, floats(4)), ""); err != nil || f.Key != "run.best.trainer.model.state_dict" {
		t.Errorf("five levels deep: %+v, %v", f, err)
	}
}

// What is no checkpoint is called what it is.
func TestOtherFilesAreNamed(t *testing.T) {
	packed := new(bytes.Buffer)
	w := zip.NewWriter(packed)
	w.Create("best/model.pth")
	w.Close()
	exported := new(bytes.Buffer)
	w = zip.NewWriter(exported)
	w.Create("export/archive_format")
	w.Create("export/data/sample_inputs/model.pt")
	w.Close()
	for content, want := range map[string]string{
		exported.String():      "a program of torch.export",
		"\x1f\x8b\x08\x00rest": "gzip", "\x89HDF\r\n\x1a\nrest": "HDF5", "\x1c\x00\x00\x00TFL3rest": "TensorFlow Lite",
		"import torch\nimport timm\n": "a program, not the network", "#!/usr/bin/env python3\n": "a program, not",
		"{\"message\": \"Not Found\"}": "a server's refusal", packed.String(): `with "best/model.pth" in it`,
		"\x08\x08\x12\x07pytorch": "an ONNX file", "\x08\x0a\x3a\x80\x02": "an ONNX file",
		strings.Repeat("\x00", 257) + "ustar":        "an archive (tar)",
		"version https://git-lfs.github.com/spec/v1": "git lfs pull", "<!DOCTYPE html>": "HTML",
		"anything else": "text, perhaps a server",
	} {
		if _, err := parse([]byte(content), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want …%s…", content, err, want)
		}
	}
}

// Every hostile file gets one clear error for less than 64 MB; five seconds would be a hang on a
// busy machine.
func TestHostileFiles(t *testing.T) {
	one := []int64{1}
	dict := func(v string) string { return proto + "}" + str("w") + v + "s." }
	seed := archive(t, dict(view(1, 0, one, one)), floats(1))
	var bomb bytes.Buffer
	w := zip.NewWriter(&bomb)
	f, _ := w.Create("x/data.pkl")
	for range 200 {
		f.Write(make([]byte, 1<<20))
	}
	w.Close()
	var crowd bytes.Buffer
	w = zip.NewWriter(&crowd)
	for i := range 200_000 {
		w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint("x/data/", i), Method: zip.Store})
	}
	w.Close()
	// pairs of the same pair, 2¹⁰⁰⁰ when written out
	laughs := proto + "}" + str("k") + "NN\x86" + strings.Repeat("2\x86", 1000) + "s."
	// a thousand times the same dict in a dict, four levels deep
	wide := proto + "}q\x00"
	for level := range 4 {
		wide += "}("
		for i := range 1000 {
			wide += str(fmt.Sprint(i)) + "h" + string(rune(level))
		}
		wide += "uq" + string(rune(level+1))
	}
	var largest uint64
	var slowest time.Duration
	pairs := proto + "](" + strings.Repeat("]("+"NNe", 10_000) + "eq\x00" +
		strings.Repeat("ccollections\nOrderedDict\nh\x00\x85R", 10_000) + "."
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"zip bomb", bomb.Bytes(), "compressed"},
		{"crowded zip", crowd.Bytes(), "more than 16 MB"},
		{"os.system", archive(t, proto+"cos\nsystem\n"+str("echo")+"\x85R.", nil), `"os.system"`},
		{"eval by stack", archive(t, proto+str("builtins")+str("eval")+"\x93"+str("1")+"\x85R.", nil),
			`"builtins.eval"`},
		{"whole module", archive(t, proto+"c__main__\nVGG16SE\n)\x81.", nil), "state_dict()"},
		{"huge shape", archive(t, dict(view(1, 0, []int64{1 << 40, 1 << 40}, []int64{1, 1})), floats(1)),
			"does not fit"},
		{"large shape", archive(t, dict(view(1, 0, []int64{1 << 40}, one)), floats(1)), "last element"},
		{"negative", archive(t, dict(view(1, 0, []int64{-1}, one)), floats(1)), "does not fit"},
		{"offset", archive(t, dict(view(1, 99, one, one)), floats(1)), "begins at element 99"},
		{"negative offset", archive(t, dict(view(1, -1, one, one)), floats(1)), "makes no sense"},
		{"wrong size", archive(t, dict(view(2, 0, []int64{2}, one)), floats(1)), "last element"},
		{"cyclic memo", archive(t, proto+"}q\x00"+str("self")+"h\x00s"+str("w")+"h\x00s.", nil), "no named tensors"},
		{"deep", archive(t, proto+"N"+strings.Repeat("\x85", 10<<20)+".", nil), "more than 16 MB"},
		{"memo", archive(t, proto+"N"+strings.Repeat("q\x00", 10<<20)+".", nil), "more than 16 MB"},
		{"stack", archive(t, proto+strings.Repeat("N", 10<<20)+".", nil), "more than 16 MB"},
		{"marks", archive(t, proto+strings.Repeat("(", 10<<20)+".", nil), "more than 16 MB"},
		{"long string", archive(t, proto+"X\xff\xff\xff\xff.", nil), "makes no sense"},
		{"pairs", archive(t, pairs, nil), "more than 16 MB"},
		{"wide", archive(t, wide+".", nil), "no named tensors"},
		{"laughs", archive(t, laughs, nil), "no named tensors"},
		{"truncated", seed[:len(seed)-30], "truncated"},
		{"legacy, truncated", append([]byte("\x80\x02"), legacyMagic...), "makes no sense"},
		{"text opcodes", archive(t, "I1\n.", nil), "opcode"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := parse(c.b, "")
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", c.name, err, c.want)
		}
		heap := after.TotalAlloc - before.TotalAlloc
		// a file that is made to take for ever
		if largest, slowest = max(largest, heap), max(slowest, took); heap > 64<<20 || took > 2*time.Minute {
			t.Errorf("%s: took %d MB and %v", c.name, heap>>20, took)
		}
	}
	t.Logf("at most %d MB and %v", largest>>20, slowest.Round(time.Millisecond))
}

// Truncated anywhere, a checkpoint is an error or still whole; never a panic.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"article.pth", "legacy.pt", "views-legacy.pth", "article.safetensors"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(b); n += 311 {
			if _, err := parse(b[:n], ""); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", name, n, len(b))
			}
		}
	}
}

func FuzzPickle(f *testing.F) {
	f.Add([]byte(proto + "}" + str("w") + view(6, 1, []int64{2, 2}, []int64{1, 2}) + "s."))
	f.Add([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01M\x02\x00" +
		"J\xff\xff\xff\xffG?\xf0\x00\x00\x00\x00\x00\x00\x8c\x01a\x94e."))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, m, err := unpickle(b)
		if err != nil {
			return
		}
		_, _ = choose(TorchZip, root, "", "", func(*storage) ([]byte, error) { return make([]byte, 64), nil })
		if len(m.b) > len(b) {
			t.Error("read backwards")
		}
	})
}

func FuzzTorch(f *testing.F) {
	f.Add(archive(f, proto+"}"+str("w")+view(1, 0, []int64{1}, []int64{1})+"s.", floats(1)))
	legacy := string(proto) + string(legacyMagic) + "." + proto + integer(1001) + "." + proto + "}." +
		proto + "}" + str("w") + view(1, 0, []int64{1}, []int64{1}) + "s." + proto + "]" + str("0") + "a." +
		"\x01\x00\x00\x00\x00\x00\x00\x00" + "1234"
	f.Add([]byte(legacy))
	if _, err := parse([]byte(legacy), ""); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b, "")
		if err != nil {
			return
		}
		for i := range file.Tensors {
			if x := &file.Tensors[i]; x.Elements() < 1<<16 {
				_ = x.Values(func([]float64) error { return nil })
			}
		}
	})
}

// float32Bytes are little-endian float32.
func float32Bytes(v ...float32) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// numbersOf are the elements of a tensor.
func numbersOf(t *testing.T, x *Tensor) (all []float64) {
	t.Helper()
	if err := x.Values(func(v []float64) error { all = append(all, v...); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// Objects of unknown classes beside the weights are not looked into, whatever they are built of and
// called for; nothing is run.
func TestUnknownObjectsBesideTheWeightsAreOpaque(t *testing.T) {
	weights := "}" + str("w") + view(2, 0, []int64{2, 1}, []int64{1, 1}) + "s"
	for name, beside := range map[string]string{
		"made":              "cmylib.config\nConfig\n)\x81",
		"made, with state":  "cmylib.config\nConfig\n)\x81}" + str("lr") + "K\x01sb",
		"called":            "cmylib\nload\n" + str("x") + "\x85R",
		"called once more":  "cfunctools\npartial\n" + str("x") + "\x85R" + str("y") + "\x85R",
		"the name alone":    "cmylib\nConfig\n",
		"with things in it": "cmylib\nBag\n)R(K\x01K\x02e",
	} {
		program := proto + "}" + str("args") + beside + "s" + str("state_dict") + weights + "s."
		f, err := parse(archive(t, program, float32Bytes(3, 5)), "")
		if err != nil || len(f.Tensors) != 1 || f.Key != "state_dict" {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		if got := numbersOf(t, &f.Tensors[0]); got[0] != 3 || got[1] != 5 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A tensor whose negation PyTorch has put off is negated.
func TestLazyNegation(t *testing.T) {
	v := view(2, 0, []int64{2, 1}, []int64{1, 1})
	v = strings.TrimSuffix(v, "tR") + "}" + str("neg") + "\x88s" + "tR"
	f, err := parse(archive(t, proto+"}"+str("w")+v+"s.", float32Bytes(3, -5)), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := numbersOf(t, &f.Tensors[0]); got[0] != -3 || got[1] != 5 {
		t.Errorf("read as %v", got)
	}
	var b bytes.Buffer
	if err := f.Tensors[0].WriteFloat32(&b); err != nil || !bytes.Equal(b.Bytes(), float32Bytes(-3, 5)) {
		t.Errorf("written as %v, %v", b.Bytes(), err)
	}
}

// The names of the classes that a training script keeps beside the weights come in their order.
func TestClassesBesideTheWeights(t *testing.T) {
	weights := str("state_dict") + "}" + str("w") + view(4, 0, []int64{2, 2}, []int64{2, 1}) + "s"
	for beside, want := range map[string]string{
		str("class_to_idx") + "}(" + str("b") + integer(0) + str("a") + integer(1) + "u": "[b a]",
		str("classes") + "](" + str("x") + str("y") + "e":                                "[x y]",
		str("class_to_idx") + "}(" + str("b") + integer(0) + str("a") + integer(7) + "u": "[]",
		str("classes") + integer(3): "[]",
	} {
		f, err := parse(archive(t, proto+"}("+weights+beside+"u.", floats(4)), "")
		if err != nil || fmt.Sprint(f.Classes) != want {
			t.Errorf("%q: got %+v, %v, want %s", beside, f, err, want)
		}
	}
}

// What is no checkpoint is named.
func TestPicklesOfOthers(t *testing.T) {
	if _, err := parse([]byte("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}."), ""); err == nil ||
		!strings.Contains(err.Error(), "a pickle that torch.save has not written") {
		t.Errorf("got %v", err)
	}
}
