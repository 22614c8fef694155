package importer_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

const (
	processorViT = `{"image_processor_type":"ViTImageProcessor","do_resize":true,"size":{"height":20,"width":20},
		"resample":2,"do_rescale":true,"rescale_factor":0.00392156862745098,"do_normalize":true,
		"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5]}`
	labelsOfConfig = `{"id2label":{"0":"cat","2":"owl","1":"dog","3":"fox"}}`
	timmConfig     = `{"architecture":"small","num_classes":4,"label_names":["cat","dog","owl","fox"],"pretrained_cfg":
		{"input_size":[3,20,20],"interpolation":"bicubic","crop_pct":0.95,"crop_mode":"center",
		"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}}`
)

// plainFile is a network of 20×20 pixels and four classes, with metadata.
func plainFile(t *testing.T, metadata ...onnx.Property) string {
	t.Helper()
	s := newSmall(13, 7, onnx.Float32, 1, 3, 20, 20).net(3, 4).flat().ends(onnx.Float32, 1, 4)
	s.m.Metadata = metadata
	return s.file(t)
}

// What lies beside a model says its labels and how its pictures were prepared, as the library that
// wrote it does it.
func TestImportReadsWhatLiesBeside(t *testing.T) {
	needRuntime(t)
	imagenet := [2][3]float64{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}
	zero := [2][3]float64{{}, {1, 1, 1}}
	twice := imagenet // 1 off what was scaled, and std once more
	for i := range 3 {
		twice[0][i]++
		twice[1][i] *= imagenet[1][i]
	}
	half := [2][3]float64{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}
	for name, c := range map[string]struct {
		files    map[string]string
		metadata []onnx.Property
		want     vision.Preprocess
		norm     [2][3]float64
		scores   vision.Scores
	}{
		"ViT of transformers": {files: map[string]string{"preprocessor_config.json": processorViT,
			"config.json": labelsOfConfig}, want: vision.Preprocess{Resize: "squash", Filter: "pil-bilinear"},
			norm: half},
		"ConvNeXt of transformers": {files: map[string]string{"config.json": labelsOfConfig,
			"preprocessor_config.json": `{"feature_extractor_type":"ConvNextFeatureExtractor","crop_pct":0.875,
				"size":20,"resample":3,"image_mean":[0.485,0.456,0.406],"image_std":[0.229,0.224,0.225]}`},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 22, Filter: "pil-bicubic"}, norm: imagenet},
		"EfficientNet of transformers": {files: map[string]string{"config.json": labelsOfConfig,
			"preprocessor_config.json": `{"image_processor_type":"EfficientNetImageProcessor","do_center_crop":false,
				"size":{"height":20,"width":20},"rescale_factor":0.00784313725490196,"rescale_offset":true,
				"include_top":true,"image_mean":[0.485,0.456,0.406],"image_std":[0.229,0.224,0.225]}`},
			want: vision.Preprocess{Resize: "squash", Filter: "nearest", Scale: 0.00784313725490196}, norm: twice},
		"a size and a crop": {files: map[string]string{"config.json": strings.Replace(labelsOfConfig, "{",
			`{"problem_type":"multi_label_classification",`, 1),
			"preprocessor_config.json": `{"image_processor_type":"DeiTImageProcessor","do_center_crop":true,
				"size":{"height":24,"width":24},"crop_size":{"height":20,"width":20},"image_mean":[0.5,0.5,0.5],
				"image_std":[0.5,0.5,0.5]}`},
			want: vision.Preprocess{Resize: "squash", Size: [2]int{24, 24}, Filter: "pil-bicubic"}, norm: half,
			scores: vision.ScoresSigmoid},
		"timm": {files: map[string]string{"config.json": timmConfig},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 21, Filter: "pil-bicubic"}, norm: imagenet},
		"ultralytics, in the file": {metadata: []onnx.Property{{Key: "names",
			Value: "{0: 'cat', 1: 'dog', 2: 'owl', 3: 'fox'}"}, {Key: "imgsz", Value: "[20, 20]"},
			{Key: "task", Value: "classify"}},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 20, Filter: "pil-bilinear"}, norm: zero},
		"the same by another name": {metadata: []onnx.Property{{Key: "classes",
			Value: `["cat", "dog", "owl", "fox"]`}, {Key: "imgsz", Value: "[20, 20]"},
			{Key: "task", Value: "classify"}},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 20, Filter: "pil-bilinear"}, norm: zero},
		"ultralytics, beside": {files: map[string]string{
			"metadata.yaml": "task: classify\nimgsz:\n- 20\n- 20\nnames:\n  0: cat\n  1: dog\n  2: owl\n  3: fox\n"},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 20, Filter: "pil-bilinear"}, norm: zero},
		"ultralytics, names in a list": {files: map[string]string{
			"metadata.yaml": "task: classify\nimgsz: 20\nnames: [cat, dog, owl, fox]\n"},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 20, Filter: "pil-bilinear"}, norm: zero},
		"Custom Vision, in the file": {files: map[string]string{"labels.txt": "cat\ndog\nowl\nfox\n"},
			metadata: []onnx.Property{{Key: "CustomVision.Metadata.Version", Value: "1.2"},
				{Key: "CustomVision.Preprocess.ResizeMethod", Value: "Stretch"},
				{Key: "CustomVision.Preprocess.TargetHeight", Value: "20"},
				{Key: "CustomVision.Preprocess.TargetWidth", Value: "20"},
				{Key: "CustomVision.Postprocess.Method", Value: "ClassificationMultiLabel"},
				{Key: "Image.BitmapPixelFormat", Value: "Bgr8"},
				{Key: "Image.NominalPixelRange", Value: "NominalRange_0_255"}},
			norm: zero, scores: vision.ScoresSigmoid,
			want: vision.Preprocess{Resize: "squash", Filter: "pil-bicubic", Channels: "bgr", Scale: 1}},
		"Custom Vision, beside": {files: map[string]string{"labels.txt": "cat\ndog\nowl\nfox\n",
			"metadata_properties.json": `{"CustomVision.Metadata.Version": "1.1",
				"CustomVision.Preprocess.CropHeight": "20", "CustomVision.Preprocess.CropMethod": "OneCropCenter",
				"CustomVision.Preprocess.CropWidth": "20", "CustomVision.Preprocess.NormalizeMean": "[0.5, 0.5, 0.5]",
				"CustomVision.Preprocess.NormalizeStd": "[0.5, 0.5, 0.5]",
				"CustomVision.Preprocess.ResizeMethod": "ByShorterSide",
				"CustomVision.Preprocess.TargetHeight": "24", "CustomVision.Preprocess.TargetWidth": "24",
				"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}`}, norm: half,
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 24, Filter: "pil-bicubic"}},
		"Teachable Machine": {files: map[string]string{"metadata.json": `{"tfjsVersion":"1.7.4","tmVersion":"2.4.14",
				"packageName":"@teachablemachine/image","labels":["cat","dog","owl","fox"],"imageSize":20}`},
			norm: [2][3]float64{{1, 1, 1}, {1, 1, 1}},
			want: vision.Preprocess{Resize: "shortest-crop", Shorter: 20, Filter: "pil-lanczos", Scale: 1 / 127.5}},
	} {
		file := plainFile(t, c.metadata...)
		for beside, text := range c.files {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), beside), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(t.TempDir(), "b")
		said, err := saying(t, importer.Options{File: filepath.Dir(file), Out: out, Input: 224})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := bundle.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		c.want.Channels, c.want.Exif = cmp.Or(c.want.Channels, "rgb"), vision.ExifIgnore
		c.want.Scale = cmp.Or(c.want.Scale, 1.0/255)
		c.want.Mean, c.want.Std = c.norm[0], c.norm[1]
		if got := b.Spec.Preprocess; got != c.want || b.Spec.Output.Scores != c.scores {
			t.Errorf("%s: %+v, want %+v; scores %q", name, got, c.want, b.Spec.Output.Scores)
		}
		if !slices.Equal(b.Spec.Labels, []string{"cat", "dog", "owl", "fox"}) {
			t.Errorf("%s: labels %v", name, b.Spec.Labels)
		}
		if strings.Count(said, "(from ") != 2 {
			t.Errorf("%s: said %q, not where labels and preprocessing come from", name, said)
		}
	}
}

// Lists of labels as tools write them beside their models.
func TestImportReadsLabelFiles(t *testing.T) {
	needRuntime(t)
	for name, text := range map[string]string{
		"class_indices.json": `{"0": "cat", "1": "dog", "2": "owl", "3": "fox"}`, // number first
		"labels.txt":         "0 cat\n1 dog\n2 owl\n3 fox\n",                     // Teachable Machine
		"classes.txt":        "cat\ndog\nowl\nfox\n",
		"class_names.txt":    "cat\ndog\nowl\nfox\n",         // Roboflow
		"labels.json":        `["cat", "dog", "owl", "fox"]`, // Azure's AutoML
		"class_to_idx.json":  `{"dog": 1, "cat": 0, "fox": 3, "owl": 2}`,
	} {
		file, out := plainFile(t), filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := saying(t, importer.Options{File: file, Out: out, Input: 224, Preprocess: asItIs}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b, err := bundle.Open(out); err != nil || !slices.Equal(b.Spec.Labels, []string{"cat", "dog", "owl",
			"fox"}) {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
}

// RapidAI's files name their classes in their own metadata, one a line.
func TestImportReadsRapidLabels(t *testing.T) {
	needRuntime(t)
	out := filepath.Join(t.TempDir(), "b")
	file := plainFile(t, onnx.Property{Key: "character", Value: "cat\ndog\nowl\nfox"})
	said, err := saying(t, importer.Options{File: file, Out: out, Input: 224, Preprocess: asItIs})
	if err != nil || !strings.Contains(said, "the model's metadata") {
		t.Fatalf("%v; said %q", err, said)
	}
	if b, err := bundle.Open(out); err != nil || !slices.Equal(b.Spec.Labels, []string{"cat", "dog", "owl", "fox"}) {
		t.Errorf("%v, %v", b, err)
	}
}

// Where two sources beside a model disagree the user is told of both, and asked where only one of
// them can be of this network.
func TestImportTellsWhatDisagrees(t *testing.T) {
	needRuntime(t)
	teachable := `{"packageName":"@teachablemachine/image","labels":["cat","dog","owl","fox"],"imageSize":20}`
	vit := strings.ReplaceAll(processorViT, "\n", " ")
	made := `{"id2label":{"0":"LABEL_0","1":"LABEL_1","2":"LABEL_2","3":"LABEL_3"}}`
	for name, c := range map[string]struct {
		files      map[string]string
		o          importer.Options
		said, lack string // of what is said
		refused    string
	}{
		"other names": {files: map[string]string{"metadata.json": teachable, "labels.txt": "cat\ndog\nelk\nfox\n"},
			said: `metadata.json and labels.txt disagree: class 2 is "owl" in the one, "elk" in the other; the former`},
		"another order": {files: map[string]string{"metadata.json": teachable,
			"labels.txt": "0 dog\n1 cat\n2 owl\n3 fox\n"}, said: `class 0 is "cat" in the one, "dog" in the other`},
		"the same in another form": {files: map[string]string{"metadata.json": teachable,
			"labels.txt": "0 cat\n1 dog\n2 owl\n3 fox\n"}, lack: "disagree"},
		"another number": {files: map[string]string{"metadata.json": teachable, "labels.txt": "cat\ndog\nowl\n"},
			refused: "--labels: metadata.json names 4 classes, labels.txt 3"},
		"another number, and the right ones": {o: importer.Options{Labels: "a,b,c,d"}, lack: "disagree",
			files: map[string]string{"metadata.json": teachable, "labels.txt": "cat\ndog\nowl\n"}},
		"names that nobody gave": {files: map[string]string{"preprocessor_config.json": vit, "config.json": made,
			"labels.txt": "cat\ndog\nowl\nfox\n"}, said: "cat, dog, owl … (from labels.txt)", lack: "disagree"},
		"two ways to prepare": {files: map[string]string{"metadata.json": teachable, "preprocessor_config.json": vit},
			said: "preprocessor_config.json and metadata.json disagree: the latter has resize=shortest-crop"},
		"two ways to prepare, and the right one": {o: importer.Options{Preprocess: asItIs}, lack: "disagree",
			files: map[string]string{"metadata.json": teachable, "preprocessor_config.json": vit}},
		"a download that failed": {o: importer.Options{Preprocess: asItIs}, files: map[string]string{
			"class_indices.json": "<!DOCTYPE html><html>"}, refused: "class_indices.json: is an HTML page"},
	} {
		file := plainFile(t)
		for beside, text := range c.files {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), beside), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c.o.File, c.o.Out, c.o.Input = filepath.Dir(file), filepath.Join(t.TempDir(), "b"), 224
		switch said, err := saying(t, c.o); {
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want …%s…", name, err, c.refused)
		case c.refused == "" && (err != nil || !strings.Contains(said, c.said)):
			t.Errorf("%s: %v, said %q, want …%s…", name, err, said, c.said)
		case c.lack != "" && strings.Contains(said, c.lack):
			t.Errorf("%s: said %q, want nothing of %q", name, said, c.lack)
		}
	}
}

// A file that is no model is named before anything is asked about it.
func TestImportNamesWhatIsNoModel(t *testing.T) {
	for name, text := range map[string]string{
		"model.onnx": "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "model.pth": "<!DOCTYPE html>\n",
		"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := saying(t, importer.Options{File: dir, Out: filepath.Join(t.TempDir(), "b"), Input: 224})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "not the file itself") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not said, or cannot be told, is asked for.
func TestImportAsksForWhatNothingSays(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		o          importer.Options
		want       string
	}{
		"nothing":   {"", "", importer.Options{Labels: "a,b,c,d"}, "--preprocess: nothing beside the model"},
		"no labels": {"preprocessor_config.json", processorViT, importer.Options{}, "--labels: nothing beside"},
		"no filter": {"preprocessor_config.json", `{"size":20,"image_mean":[0,0,0]}`,
			importer.Options{Labels: "a,b,c,d"}, "resample"},
		"no crop": {"preprocessor_config.json",
			`{"image_processor_type":"BitImageProcessor","size":{"shortest_edge":20}}`,
			importer.Options{Labels: "a,b,c,d"}, "any size"},
		"a pose": {"metadata.json", `{"packageName":"@teachablemachine/pose"}`,
			importer.Options{Labels: "a,b,c,d"}, "does not classify pictures"},
		"metadata of others": {"metadata.json", `{"labels":["a"]}`, importer.Options{Labels: "a,b,c,d"},
			"--preprocess: nothing beside the model"},
		"odd units": {"metadata_properties.json", `{"CustomVision.Metadata.Version":"1.2",
			"CustomVision.Preprocess.TargetHeight":"20","CustomVision.Preprocess.TargetWidth":"20",
			"CustomVision.Preprocess.NormalizeMean":"[123, 116, 104]","Image.NominalPixelRange":"Normalized_0_1"}`,
			importer.Options{Labels: "a,b,c,d"}, "of 0 to 255, its pixels of 0 to 1"},
		"a gap": {"class_indices.json", `{"0":"a","2":"b"}`, importer.Options{}, "one of them for class 2"},
		"unknown recipe": {"", "", importer.Options{Labels: "a,b,c,d", Like: "torchvision:resnet5"},
			"torchvision:resnet50"},
		"another size": {"", "", importer.Options{Labels: "a,b,c,d", Like: "timm:resnet18"},
			"for 224×224, the network takes 20×20"},
		"a wrong library": {"", "", importer.Options{Like: "keras:vgg16"}, "write torchvision:NAME or timm:NAME"},
	} {
		c.o.File, c.o.Out, c.o.Input = plainFile(t), filepath.Join(t.TempDir(), "b"), 224
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(filepath.Dir(c.o.File), c.file), []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := saying(t, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
}

// A recipe is what the library says of its weights (torchvision 0.29, timm 1.0).
func TestImportLikeAPublishedNetwork(t *testing.T) {
	needRuntime(t)
	for like, want := range map[string]vision.Preprocess{
		"torchvision:vgg16": {Shorter: 256, Filter: "pil-bilinear"},
		"timm:resnet50":     {Shorter: 235, Filter: "pil-bicubic"}, // floor(224 / 0.95)
	} {
		out := filepath.Join(t.TempDir(), "b")
		if _, err := saying(t, importer.Options{File: checkpoints + "article.pth", Labels: "a,b,c,d,e", Like: like,
			Out:   out,
			Input: 32}); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Spec.Preprocess
		if got.Shorter != want.Shorter || got.Filter != want.Filter || got.Mean != vision.Torchvision(224).Mean ||
			b.Spec.Architecture.InputSize != 224 {
			t.Errorf("%s: %+v", like, got)
		}
	}
}

// The names that a classifier of ai.onnx.ml holds are the labels, in its order; --labels with the
// same names in another order is warned of.
func TestImportReadsTheNamesInside(t *testing.T) {
	needRuntime(t)
	s := newSmall(13, 7, onnx.Float32, 1, 3, 20, 20).net(3, 4).flat()
	s.m.Opsets = append(s.m.Opsets, onnx.Opset{Domain: "ai.onnx.ml", Version: 1})
	s.m.Graph.Nodes = append(s.m.Graph.Nodes, onnx.Node{OpType: "LinearClassifier", Domain: "ai.onnx.ml",
		Inputs: []string{s.at}, Outputs: []string{"class", "scores"}, Attributes: []onnx.Attribute{
			{Name: "classlabels_strings", Type: onnx.AttrStrings, Strings: []string{"owl", "cat", "dog"}},
			{Name: "coefficients", Type: onnx.AttrFloats, Floats: noise(12, 4, 1)},
			{Name: "intercepts", Type: onnx.AttrFloats, Floats: noise(3, 5, 1)},
			onnx.String("post_transform", "SOFTMAX")}})
	s.at = "scores"
	file := s.ends(onnx.Float32, 1, 3).file(t)
	for labels, want := range map[string]string{
		"":            "labels: 3, owl, cat, dog … (from the classifier in the model)",
		"owl,cat,dog": "", "a,b,c": "",
		"cat,dog,owl": "warning: --labels has the names of the classifier in the model in another order; there it is " +
			"owl, cat, dog",
	} {
		said, err := saying(t, importer.Options{File: file, Labels: labels, Out: filepath.Join(t.TempDir(), "out"),
			Preprocess: "resize=squash,filter=area,channels=rgb,scale=1/255,mean=0,0,0,std=1,1,1"})
		if err != nil {
			t.Fatal(err)
		}
		if want != "" && !strings.Contains(said, want) || want == "" && strings.Contains(said, "order") {
			t.Errorf("--labels %q: said %q, want %q", labels, said, want)
		}
	}
}
