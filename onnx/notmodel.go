package onnx

import (
	"bytes"
	"regexp"
	"unicode"
	"unicode/utf8"
)

// others are the first bytes of files that come in the place of a model, and what they are.
var others = []struct {
	at    int
	magic string
	what  string
}{
	{0, "\x1f\x8b", "compressed (gzip): unpack it first"},
	{0, "BZh", "compressed (bzip2): unpack it first"},
	{0, "\xfd7zXZ", "compressed (xz): unpack it first"},
	{0, "\x28\xb5\x2f\xfd", "compressed (zstd): unpack it first"},
	{0, "7z\xbc\xaf", "an archive (7z): unpack it first"},
	{0, "Rar!", "an archive (RAR): unpack it first"},
	{0, "SHA256SUMS\x00", "a packed bundle: 'vggse-agent model install FILE' installs it"},
	{257, "ustar", "an archive (tar): unpack it first"},
	{0, "\x89HDF", "HDF5, as Keras writes it: export the network to .onnx (tf2onnx)"},
	{4, "TFL3", "TensorFlow Lite: export the network to .onnx (tf2onnx)"},
	{0, "GGUF", "GGUF, a language model: this program runs classifiers of pictures"},
	{0, "ftrt", "a TensorRT engine, good on the machine that built it only: give the .onnx that it was made of"},
	{4, "ORTM", "in ONNX Runtime's own ORT format: give the .onnx that it was made of"},
	{0, "\x93NUMPY", "numbers of NumPy (.npy): export the network to .onnx, or torch.save(model.state_dict(), …)"},
	{0, "\x7fELF", "a program or a library"}, {0, "MZ\x90\x00", "a program or a library"}, {0, "%PDF", "a PDF"},
	{0, "\x89PNG", "a picture"}, {0, "\xff\xd8\xff", "a picture"},
}

// NotModel says what a file that is no model is, by its first 512 bytes, and the cure; "" where they
// do not tell.
func NotModel(start []byte) string {
	for _, o := range others {
		if len(start) > o.at && bytes.HasPrefix(start[o.at:], []byte(o.magic)) {
			return o.what
		}
	}
	if what := StandIn(start); what != "" {
		return what
	}
	switch text := bytes.ToLower(bytes.TrimSpace(start)); {
	case bytes.HasPrefix(text, []byte("<?xml")):
		return "XML, not the file itself (of OpenVINO: give the .onnx that it was made of)"
	case len(text) > 2 && text[0] == '{' && (text[1] == '"' || text[1] == '\n' || text[1] == '\r'):
		if bytes.Contains(text, []byte("irversion")) {
			return onnxAsText
		}
		if notebook.Match(text) {
			return "a notebook" + programInPlace
		}
		return "JSON, perhaps a server's refusal, not the file itself: look into it, and download again"
	case bytes.HasPrefix(bytes.TrimLeft(text, "< \n"), []byte("ir_version:")):
		return onnxAsText
	case python.Match(text) && !bytes.ContainsFunc(text, notText):
		return "a program" + programInPlace
	case len(text) > 0 && utf8.Valid(start) && !bytes.ContainsFunc(text, notText):
		return "text, perhaps a server's refusal, not the file itself: look into it, and download again"
	}
	return ""
}

// programInPlace goes on about a program that stands in the place of a model.
const programInPlace = ", not the network that it trains: give the file that it saves, by torch.save(…) or " +
	"torch.onnx.export(…)"

var (
	notebook = regexp.MustCompile(`^\{\s*"(?:cells|metadata|nbformat)"`)
	python   = regexp.MustCompile(`(?m)^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|#!.*python|` +
		`# -\*- coding)`)
)

// notText tells what stands in no text.
func notText(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }

// StandIn says what a download left in the place of a file of any kind, and the cure, by the first
// bytes; "" where they do not tell.
func StandIn(start []byte) string {
	switch text := bytes.ToLower(bytes.TrimSpace(start[:min(len(start), 512)])); {
	case bytes.HasPrefix(text, []byte("version https://git-lfs")):
		return "a pointer of Git LFS, not the file itself: run git lfs pull"
	case bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")):
		return "an HTML page, not the file itself: download it again, by its raw address"
	}
	return ""
}

// misnamed is NotModel of a file that is named .onnx.
func misnamed(start []byte) string {
	switch {
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return "a ZIP archive: name a checkpoint of PyTorch .pth, unpack what somebody packed"
	case len(start) > 2 && start[0] == 0x80 && start[1] >= 2 && start[1] <= 5: // its protocol
		return "a pickle of Python: name a checkpoint of PyTorch .pth"
	case len(start) > 9 && string(start[8:10]) == `{"`:
		return "safetensors: name it .safetensors"
	}
	return NotModel(start)
}

const onnxAsText = "ONNX as text: onnx.save(model, FILE) writes it as protobuf"
