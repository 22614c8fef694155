package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// known is what files beside a model, its own metadata or a recipe say of it, and where it stands.
type known struct {
	labels         []string
	labelsFrom     string
	preprocess     string // in the words of --preprocess
	preprocessFrom string
	height, width  int // of the input, 0 where nothing says so
	multi          bool
	names, recipes string // where two sources disagree about labels and about preprocessing, and which was taken
	counts         error  // two sources name different numbers of labels
	failed         error  // the first source that is there and cannot be understood
}

// besideBytes is the largest file that is read for what it says of a model.
const besideBytes = 16 << 20

// fill completes the options: a folder becomes the model in it; labels and preprocessing that are
// not given are taken from --like, and else from what lies beside the model or in it. It says what
// it read from where. Names of files and networks tell nothing.
func (o *Options) fill(p *progress.Progress) (labels []string, err error) {
	if err := o.findModel(p); err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	k := &known{}
	if o.Labels == "" || o.Preprocess == "" {
		k = lookBeside(o.File, o.opened)
	}
	if o.Like != "" {
		if err := k.like(o.Like); err != nil {
			return nil, &OptionError{"like", err}
		}
	}
	if !o.InputGiven && k.height > 0 && !IsONNX(o.File) {
		o.Height, o.Input = k.height, k.width
	}
	if IsONNX(o.File) && !o.InputGiven { // where the graph leaves it open
		o.Height, o.Input = k.height, k.width
	}
	switch {
	case o.Preprocess != "":
	case k.preprocess == "" && k.failed != nil:
		return nil, k.failed
	case k.preprocess == "":
		return nil, &OptionError{"preprocess",
			errors.New("nothing beside the model says how its pictures were prepared: " +
				"give --preprocess, or --like where it was made as a published network")}
	default:
		o.Preprocess, o.madeFor, o.madeBy = k.preprocess, [2]int{k.height, k.width}, k.preprocessFrom
		p.Say("preprocess: %s (from %s)", k.preprocess, k.preprocessFrom)
		if k.recipes != "" {
			p.Say("warning: %s", k.recipes)
		}
	}
	switch {
	case o.Labels != "":
		if labels, err = ReadLabels(o.Labels); err != nil {
			return nil, &OptionError{"labels", err}
		}
		if odd := k.reordered(labels, o.File, o.opened); odd != "" {
			p.Say("warning: %s", odd)
		}
	case k.labels == nil && k.failed != nil:
		return nil, &OptionError{"labels", fmt.Errorf("nothing beside the model names its classes (%w): give --labels",
			k.failed)}
	case k.labels == nil:
		return nil, &OptionError{"labels", errors.New("nothing beside the model names its classes: give --labels")}
	case k.counts != nil:
		return nil, &OptionError{"labels", k.counts}
	default:
		places := make([]string, len(k.labels))
		for i := range places {
			places[i] = fmt.Sprintf("label %d of %s", i, k.labelsFrom)
		}
		if labels = k.labels; checkLabels(labels, places) != nil {
			return nil, &OptionError{"labels", checkLabels(labels, places)}
		}
		o.namedBy = k.labelsFrom
		p.Say("labels: %d, %s … (from %s)", len(labels), strings.Join(labels[:min(3, len(labels))], ", "), k.labelsFrom)
		if k.names != "" {
			p.Say("warning: %s", k.names)
		}
	}
	o.multi = k.multi
	return labels, nil
}

// adopt takes over what k does not know, and notes where both know and disagree.
func (k *known) adopt(other *known) {
	k.compare(other)
	if k.labels == nil {
		k.labels, k.labelsFrom = other.labels, other.labelsFrom
	}
	if k.preprocess == "" {
		k.preprocess, k.preprocessFrom = other.preprocess, other.preprocessFrom
	}
	if k.height == 0 {
		k.height, k.width = other.height, other.width
	}
	k.multi = k.multi || other.multi
}

// modelNames are the endings of models, the likeliest of a folder first.
var modelNames = []string{".onnx", ".safetensors.index.json", ".safetensors", ".bin.index.json",
	".pth", ".pt", ".bin", ".ckpt", ".tar"}

// findModel makes a folder the one model in it, or in its folder onnx.
func (o *Options) findModel(p *progress.Progress) error {
	info, err := os.Stat(o.File)
	if err != nil || !info.IsDir() {
		return nil // opening it says what is wrong
	}
	if _, err := os.Stat(filepath.Join(o.File, bundle.SpecFile)); err == nil {
		return fmt.Errorf("%s is a bundle already: classify, calibrate and the other verbs take it as it is", o.File)
	}
	programs := ""
	for _, dir := range []string{o.File, filepath.Join(o.File, "onnx")} {
		entries, err := os.ReadDir(dir)
		if err != nil && dir == o.File {
			return err
		}
		for _, e := range entries {
			if ending := filepath.Ext(e.Name()); ending == ".py" || ending == ".ipynb" {
				programs = fmt.Sprintf(" (%s is a program: give the file that it saves)", e.Name())
			}
		}
		for _, ending := range modelNames {
			var found []string
			for _, e := range entries {
				if name := e.Name(); strings.HasSuffix(strings.ToLower(name), ending) && name != "golden.safetensors" {
					found = append(found, name)
				}
			}
			if i := slices.Index(found, "model"+ending); i >= 0 { // beside its variants
				found = found[i : i+1]
			}
			if len(found) > 1 {
				return fmt.Errorf("%s holds several models: %s: name the file", dir, strings.Join(found, ", "))
			}
			if len(found) == 1 {
				o.File = filepath.Join(dir, found[0])
				p.Say("model: %s", o.File)
				return nil
			}
		}
	}
	return fmt.Errorf("%s holds no model: .onnx, .safetensors or a checkpoint of PyTorch%s", o.File, programs)
}

// open says what is wrong with a file that is no model, before anything is asked about it. An .onnx file stays
// open.
func (o *Options) open() (err error) {
	path := o.File
	if IsONNX(path) {
		o.opened, err = onnx.Open(path)
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	start, err := io.ReadAll(io.LimitReader(file, 512))
	if strings.HasSuffix(strings.ToLower(path), ".index.json") { // it lists the parts of a checkpoint
		return err
	}
	if what := onnx.NotModel(start); what != "" {
		return fmt.Errorf("%s: %s", path, what)
	}
	return err
}

// lookBeside reads the files beside a model, and the metadata in an .onnx file. What is there and
// cannot be understood is an error only where nothing else says the same.
func lookBeside(model string, m *onnx.Model) *known {
	dir := filepath.Dir(model)
	k := &known{}
	if m != nil {
		inside, err := ofMetadata(m)
		k.adopt(inside)
		k.failed = err
	} else if file, err := checkpoint.Open(model, ""); err == nil { // what is wrong with it, opening it for good says
		if k.labels = file.Classes; k.labels != nil {
			k.labelsFrom = "the checkpoint"
		}
		file.Close()
	}
	for _, dir := range []string{dir, filepath.Dir(dir)} {
		if dir != filepath.Dir(model) && filepath.Base(filepath.Dir(model)) != "onnx" { // as Optimum lays it out
			break
		}
		for _, source := range sources {
			text, err := readBeside(filepath.Join(dir, source.name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var said *known
			if err == nil {
				said, err = source.read(text)
			}
			if err != nil {
				k.failed = cmp.Or(k.failed, fmt.Errorf("%s: %w", source.name, err))
				continue
			}
			said.name(source.name)
			k.adopt(said)
		}
	}
	return k
}

func (k *known) name(file string) {
	k.labelsFrom, k.preprocessFrom = cmp.Or(k.labelsFrom, file), cmp.Or(k.preprocessFrom, file)
}

// sources are files that say something of the model beside them.
var sources = []struct {
	name string
	read func([]byte) (*known, error)
}{
	{"preprocessor_config.json", ofProcessor},
	{"config.json", ofConfig},
	{"metadata.yaml", ofUltralytics},
	{"metadata_properties.json", ofCustomVision},
	{"metadata.json", ofTeachable},
	{"class_indices.json", ofIndices}, // Keras' class_indices, written down
	{"class_to_idx.json", ofIndices},  // likewise of torchvision's folders
	{"idx_to_class.json", ofIndices},
	{"id2label.json", ofIndices},
	{"labels.json", ofIndices}, // Azure's AutoML: a list
	{"class_names.json", ofIndices},
	{"classes.json", ofIndices},
	{"labels.txt", ofLabelsFile},
	{"class_names.txt", ofLabelsFile}, // Roboflow
	{"classes.txt", ofLabelsFile},
}

func readBeside(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	case info.Size() > besideBytes:
		return nil, fmt.Errorf("has %d bytes, more than are read", info.Size())
	}
	text, err := atomicfile.ReadSmall(path, besideBytes)
	if what := onnx.StandIn(text); what != "" {
		return nil, errors.New("is " + what)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), err
}

// namesKeys are what people call the names of the classes in the metadata of an .onnx file: the first is
// ultralytics'.
var namesKeys = []string{"names", "classes", "class_names", "labels", "id2label"}

// ofMetadata is what ultralytics, Custom Vision and others write into an .onnx file: names, imgsz, task.
func ofMetadata(m *onnx.Model) (*known, error) {
	k := &known{}
	said := map[string]string{}
	for _, p := range m.Metadata {
		said[p.Key] = p.Value
	}
	for _, key := range namesKeys {
		var names classNames
		if k.labels == nil && yaml.Unmarshal([]byte(said[key]), &names) == nil && len(names) > 0 {
			k.labels, _ = inOrder(names)
		}
	}
	if lines := strings.Fields(said["character"]); k.labels == nil && len(lines) > 1 &&
		strings.Count(strings.TrimSpace(said["character"]), "\n") == len(lines)-1 {
		k.labels = lines // as RapidAI's files have them, one a line
	}
	custom, err := customVision(said)
	if err != nil {
		err = fmt.Errorf("the model's metadata: %w", err)
	} else {
		k.adopt(custom)
	}
	if k.labels == nil {
		if k.labels = classesInside(&m.Graph); k.labels != nil {
			k.labelsFrom = "the classifier in the model"
		}
	}
	var size imageSize
	if yaml.Unmarshal([]byte(said["imgsz"]), &size) == nil && len(size) == 2 && said["task"] == "classify" {
		k.ultralytics(size)
	}
	k.name("the model's metadata")
	return k, err
}

// classesInside are the names of the classes that an operator of ai.onnx.ml holds, as scikit-learn's
// and Custom Vision's exports have them, in the order of their scores; nil: none does.
func classesInside(g *onnx.Graph) []string {
	for i := range g.Nodes {
		if a := g.Nodes[i].Attribute("classlabels_strings"); a != nil && len(a.Strings) > 1 {
			return a.Strings
		}
		if a := g.Nodes[i].Attribute("classlabels"); a != nil && len(a.Strings) > 1 {
			return a.Strings
		}
	}
	return nil
}

// reordered says that labels are those that k, or what lies beside the model, has in another order,
// "" where they are not.
func (k *known) reordered(labels []string, model string, m *onnx.Model) string {
	if k.labels == nil {
		k = lookBeside(model, m)
	}
	mine, theirs := slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(k.labels))
	if !slices.Equal(mine, theirs) || slices.Equal(labels, k.labels) {
		return ""
	}
	return fmt.Sprintf("--labels has the names of %s in another order; there it is %s", k.labelsFrom,
		strings.Join(k.labels[:min(10, len(k.labels))], ", "))
}

// classNames are names by their class, or one after the other.
type classNames map[int]string

// UnmarshalYAML reads both forms.
func (n *classNames) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return node.Decode((*map[int]string)(n))
	}
	var list []string
	err := node.Decode(&list)
	*n = classNames{}
	for i, name := range list {
		(*n)[i] = name
	}
	return err
}

// imageSize is height and width, or one number for both.
type imageSize []int

// UnmarshalYAML reads both forms.
func (s *imageSize) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		return node.Decode((*[]int)(s))
	}
	var side int
	err := node.Decode(&side)
	*s = imageSize{side, side}
	return err
}

// ofUltralytics reads the metadata.yaml that ultralytics writes beside some exports.
func ofUltralytics(text []byte) (*known, error) {
	var said struct {
		Names classNames `yaml:"names"`
		Size  imageSize  `yaml:"imgsz"`
		Task  string     `yaml:"task"`
	}
	if err := yaml.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("is not what ultralytics writes: %w", err)
	}
	k := &known{}
	if len(said.Names) > 0 {
		var err error
		if k.labels, err = inOrder(said.Names); err != nil {
			return nil, err
		}
	}
	if said.Task == "classify" && len(said.Size) == 2 {
		k.ultralytics(said.Size)
	}
	return k, nil
}

// ultralytics is its classify_transforms: the shorter side to the size, centre, 0 to 1.
func (k *known) ultralytics(size []int) {
	if size[0] < 1 || size[0] != size[1] {
		return
	}
	k.height, k.width = size[0], size[1]
	k.preprocess = fmt.Sprintf("resize=shortest-crop,shorter=%d,filter=pil-bilinear,channels=rgb,exif=ignore,"+
		"scale=1/255,mean=0,0,0,std=1,1,1", size[0])
}

// inOrder are the names of 0, 1, 2 …, without a gap.
func inOrder(names map[int]string) ([]string, error) {
	all := make([]string, len(names))
	for i, name := range names {
		if i < 0 || i >= len(all) {
			return nil, fmt.Errorf("%d names, one of them for class %d", len(names), i)
		}
		all[i] = name
	}
	return all, nil
}

// ofIndices reads ["daisy"], {"0": "daisy"} and {"daisy": 0}.
func ofIndices(text []byte) (*known, error) {
	var list []any
	if json.Unmarshal(text, &list) == nil && len(list) > 0 {
		labels := make([]string, len(list))
		for i, v := range list {
			if labels[i] = className(v); labels[i] == "" {
				return nil, fmt.Errorf("element %d of its list is no name", i)
			}
		}
		return &known{labels: labels}, nil
	}
	var said map[string]any
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, inJSON(err)
	}
	labels, err := byClass(said)
	return &known{labels: labels}, err
}

// inJSON is an error about JSON without the words of Go's types.
func inJSON(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s is of another kind than expected (%s)", cmp.Or(wrong.Field, "what it holds"), wrong.Value)
	}
	return err
}

// byClass are the names of {"0": "daisy"}, {"daisy": 0} or {"daisy": "0"} in the order of their
// classes.
func byClass(said map[string]any) ([]string, error) {
	names, numbered := map[int]string{}, true
	for key := range said {
		_, err := strconv.Atoi(key)
		numbered = numbered && err == nil
	}
	for key, v := range said {
		if text, ok := v.(string); ok && !numbered {
			if class, err := strconv.Atoi(text); err == nil {
				v = float64(class)
			}
		}
		switch v := v.(type) {
		case string:
			i, err := strconv.Atoi(key)
			if err != nil {
				return nil, fmt.Errorf("%q is no number of a class", key)
			}
			names[i] = v
		case float64:
			if _, twice := names[int(v)]; twice || v != float64(int(v)) {
				return nil, fmt.Errorf("class %g comes twice, or is none", v)
			}
			names[int(v)] = key
		default:
			return nil, fmt.Errorf("%q is neither a name nor a number", key)
		}
	}
	return inOrder(names)
}

var numberFirst = regexp.MustCompile(`^(\d+)[\s:,]+(\S.*)$`)

// ofLabelsFile reads one label a line, as Custom Vision writes them, or "0 name", as Teachable
// Machine does.
func ofLabelsFile(text []byte) (*known, error) {
	names, lines := map[int]string{}, 0
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\r", "")) {
		if line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")); line == "" {
			continue
		}
		if m := numberFirst.FindStringSubmatch(line); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil {
				names[i] = strings.TrimSpace(m[2])
			}
		}
		lines++
	}
	if labels, err := inOrder(names); err == nil && len(labels) == lines && lines > 0 {
		return &known{labels: labels}, nil
	}
	labels, err := labelsOf("it", text)
	return &known{labels: labels}, err
}
