package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// processor is a preprocessor_config.json of Hugging Face's transformers.
type processor struct {
	Type         string          `json:"image_processor_type"`
	OldType      string          `json:"feature_extractor_type"`
	Resize       *bool           `json:"do_resize"`
	Size         json.RawMessage `json:"size"`
	Resample     *int            `json:"resample"`
	Crop         *bool           `json:"do_center_crop"`
	CropSize     json.RawMessage `json:"crop_size"`
	CropPct      float64         `json:"crop_pct"`
	Rescale      *bool           `json:"do_rescale"`
	Factor       *float64        `json:"rescale_factor"`
	Offset       bool            `json:"rescale_offset"`
	Normalize    *bool           `json:"do_normalize"`
	Mean         []float64       `json:"image_mean"`
	Std          []float64       `json:"image_std"`
	Flip         *bool           `json:"do_flip_channel_order"`
	IncludeTop   bool            `json:"include_top"`
	TimmWrapped  json.RawMessage `json:"pretrained_cfg"`
	ReduceLabels bool            `json:"do_reduce_labels"`
}

// sides are what "size" may say: 224, {"height": …, "width": …}, {"shortest_edge": …}.
type sides struct {
	Height   int `json:"height"`
	Width    int `json:"width"`
	Shortest int `json:"shortest_edge"`
}

func readSides(text json.RawMessage) (s sides, err error) {
	if len(text) == 0 {
		return s, nil
	}
	if n, err := strconv.Atoi(string(text)); err == nil {
		return sides{Shortest: n, Height: n, Width: n}, nil
	}
	var pair []int
	if json.Unmarshal(text, &pair) == nil && len(pair) == 2 {
		return sides{Height: pair[0], Width: pair[1]}, nil
	}
	return s, inJSON(json.Unmarshal(text, &s))
}

// filtersOfPillow are the numbers of PIL.Image.Resampling.
var filtersOfPillow = map[int]string{0: "nearest", 1: "pil-lanczos", 2: "pil-bilinear", 3: "pil-bicubic", 4: "pil-box",
	5: "pil-hamming"}

// resampleOf is the filter of a processor whose file does not name one: the default of its class.
var resampleOf = map[string]int{"ViT": 2, "Deit": 3, "DeiT": 3, "Beit": 3, "ConvNext": 2, "Bit": 3, "CLIP": 3,
	"MobileNetV1": 2, "MobileNetV2": 2, "MobileViT": 2, "Levit": 3, "PoolFormer": 3, "EfficientNet": 0}

// edgeOf are the processors whose size as one number is the shorter side; of others it is both.
var edgeOf = map[string]bool{"ConvNext": true, "Bit": true, "CLIP": true, "MobileNetV1": true, "MobileNetV2": true,
	"MobileViT": true, "Levit": true, "PoolFormer": true}

func off(b *bool) bool { return b != nil && !*b }

func on(b *bool) bool { return b != nil && *b }

// ofProcessor reads how transformers prepares pictures for the model.
func ofProcessor(text []byte) (*known, error) {
	var c processor
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, inJSON(err)
	}
	kind := c.Type
	if kind == "" {
		kind = c.OldType
	}
	for _, suffix := range []string{"ImageProcessorFast", "ImageProcessor", "FeatureExtractor"} {
		kind = strings.TrimSuffix(kind, suffix)
	}
	k := &known{}
	geometry, err := c.geometry(kind, k)
	if err != nil {
		return nil, err
	}
	filter, err := c.filter(kind)
	if err != nil {
		return nil, err
	}
	values, err := c.values(kind)
	if err != nil {
		return nil, err
	}
	channels := "rgb"
	if on(c.Flip) || c.Flip == nil && kind == "MobileViT" {
		channels = "bgr"
	}
	k.preprocess = fmt.Sprintf("%s,filter=%s,channels=%s,exif=ignore,%s", geometry, filter, channels, values)
	return k, nil
}

// geometry is resize and crop; it notes the size of the input.
func (c *processor) geometry(kind string, k *known) (string, error) {
	size, err := readSides(c.Size)
	if err != nil {
		return "", fmt.Errorf("size: %w", err)
	}
	crop, err := readSides(c.CropSize)
	if err != nil {
		return "", fmt.Errorf("crop_size: %w", err)
	}
	cropped := on(c.Crop) && crop.Height > 0
	edge := size.Shortest > 0 && (size.Height == 0 || edgeOf[kind])
	switch {
	case off(c.Resize):
		return "", errors.New("do_resize is false: it does not say how pictures come to the size of the input")
	case size == sides{}:
		return "", errors.New("it has no size")
	case edge && (kind == "ConvNext" || c.CropPct > 0):
		return c.convNext(kind, size.Shortest, crop, k)
	case edge && kind == "Levit":
		k.height, k.width = size.Shortest, size.Shortest
		if cropped {
			k.height, k.width = crop.Height, crop.Width
		}
		return fmt.Sprintf("resize=shortest-crop,shorter=%d", 256*size.Shortest/224), nil
	case edge && cropped:
		k.height, k.width = crop.Height, crop.Width
		return fmt.Sprintf("resize=shortest-crop,shorter=%d", size.Shortest), nil
	case edge:
		return "", errors.New("it resizes the shorter side and does not crop: the input would have any size")
	case cropped && (crop.Height != size.Height || crop.Width != size.Width):
		k.height, k.width = crop.Height, crop.Width
		return fmt.Sprintf("resize=squash,size=%d×%d", size.Height, size.Width), nil
	}
	k.height, k.width = size.Height, size.Width
	return "resize=squash", nil
}

// convNext resizes by crop_pct: below 384 pixels the shorter side to size / crop_pct and a crop, else
// squash.
func (c *processor) convNext(kind string, edge int, crop sides, k *known) (string, error) {
	k.height, k.width = edge, edge
	if kind == "ConvNext" && edge >= 384 {
		return "resize=squash", nil
	}
	pct := c.CropPct
	switch {
	case pct == 0 && kind == "ConvNext":
		pct = 224.0 / 256
	case pct <= 0 || pct > 1:
		return "", fmt.Errorf("crop_pct is %g", pct)
	}
	if kind == "PoolFormer" && crop.Height > 0 {
		k.height, k.width = crop.Height, crop.Width
	}
	return fmt.Sprintf("resize=shortest-crop,shorter=%d", int(math.Floor(float64(edge)/pct))), nil
}

func (c *processor) filter(kind string) (string, error) {
	n, ok := resampleOf[kind]
	if c.Resample != nil {
		n, ok = *c.Resample, true
	}
	name := filtersOfPillow[n]
	if !ok || name == "" {
		return "",
			fmt.Errorf("it does not name its filter (resample), and %q is no processor whose default is known here",
				kind)
	}
	return name, nil
}

// values are scale, mean and std, of all that is done to a number one after the other: EfficientNet's
// processor can take 1 off what it has scaled, and divide by std once more.
func (c *processor) values(kind string) (string, error) {
	scale := "1/255"
	switch {
	case off(c.Rescale):
		scale = "1"
	case c.Factor != nil && math.Abs(*c.Factor*255-1) > 1e-6:
		scale = strconv.FormatFloat(*c.Factor, 'g', -1, 64)
	}
	again := c.IncludeTop && kind == "EfficientNet"
	plain := off(c.Normalize) || c.Normalize == nil && kind == "MobileViT"
	if (!plain || again) && (len(c.Mean) != 3 || len(c.Std) != 3) {
		return "", errors.New("it has no image_mean and image_std of three numbers")
	}
	mean, std := []float64{0, 0, 0}, []float64{1, 1, 1}
	for i := range mean {
		if !plain {
			mean[i], std[i] = c.Mean[i], c.Std[i]
		}
		if c.Offset && !off(c.Rescale) {
			mean[i]++
		}
		if again {
			std[i] *= c.Std[i]
		}
	}
	return fmt.Sprintf("scale=%s,mean=%s,std=%s", scale, numbers3(mean), numbers3(std)), nil
}

func numbers3(v []float64) string {
	words := make([]string, len(v))
	for i, x := range v {
		words[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(words, ",")
}

// config is a config.json: of transformers with id2label, of timm with pretrained_cfg.
type config struct {
	Labels  any            `json:"id2label"` // {"0": "daisy"}, or a list
	Classes map[string]any `json:"label2id"`
	Problem string         `json:"problem_type"`
	Names   []string       `json:"label_names"`
	Timm    *timmConfig    `json:"pretrained_cfg"`
}

type timmConfig struct {
	Input    []int     `json:"input_size"`
	Filter   string    `json:"interpolation"`
	CropPct  float64   `json:"crop_pct"`
	CropMode string    `json:"crop_mode"`
	Mean     []float64 `json:"mean"`
	Std      []float64 `json:"std"`
	Names    []string  `json:"label_names"`
}

// ofConfig reads labels, and of timm how it prepares pictures.
func ofConfig(text []byte) (*known, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, inJSON(err)
	}
	k := &known{multi: c.Problem == "multi_label_classification", labels: c.Names}
	labels, err := c.labels()
	if err != nil {
		return nil, err
	}
	if labels != nil {
		k.labels = labels
	}
	if c.Timm == nil {
		return k, nil
	}
	if k.labels == nil && len(c.Timm.Names) > 0 {
		k.labels = c.Timm.Names
	}
	return k, c.Timm.read(k)
}

// labels are those of id2label, or where it is missing of label2id; nil: it has neither.
func (c *config) labels() ([]string, error) {
	switch said := c.Labels.(type) {
	case []any:
		labels := make([]string, len(said))
		for i, v := range said {
			labels[i] = className(v)
		}
		return labels, nil
	case map[string]any:
		names := map[int]string{}
		for key, name := range said {
			i, err := strconv.Atoi(key)
			if err != nil {
				return nil, fmt.Errorf("id2label: %q is no number of a class", key)
			}
			names[i] = className(name)
		}
		labels, err := inOrder(names)
		if err != nil {
			return nil, fmt.Errorf("id2label: %w", err)
		}
		if other, err := byClass(c.Classes); err == nil && len(other) == len(labels) && !slices.Equal(other, labels) {
			return nil, errors.New("id2label and label2id name the classes in different orders")
		}
		return labels, nil
	}
	if len(c.Classes) == 0 {
		return nil, nil
	}
	labels, err := byClass(c.Classes)
	if err != nil {
		return nil, fmt.Errorf("label2id: %w", err)
	}
	return labels, nil
}

// className is a name that may be a number, as those of MNIST; "" where it is neither.
func className(v any) string {
	switch v.(type) {
	case string, float64:
		return fmt.Sprint(v)
	}
	return ""
}

// read is timm.data.create_transform for evaluation.
func (c *timmConfig) read(k *known) error {
	switch {
	case len(c.Input) != 3 || c.Input[0] != 3 || c.Input[1] != c.Input[2] || c.Input[1] < 1:
		return fmt.Errorf("pretrained_cfg: input_size %v is no square of three channels", c.Input)
	case c.CropPct <= 0 || c.CropPct > 1 || len(c.Mean) != 3 || len(c.Std) != 3:
		return errors.New("pretrained_cfg: crop_pct, mean or std is missing")
	case c.Filter == "" || c.Filter == "random":
		return fmt.Errorf("pretrained_cfg: interpolation %q is no filter: give --preprocess", c.Filter)
	}
	k.height, k.width = c.Input[1], c.Input[2]
	scaled := int(math.Floor(float64(k.height) / c.CropPct))
	how := fmt.Sprintf("resize=shortest-crop,shorter=%d", scaled)
	switch c.CropMode {
	case "", "center":
	case "squash":
		how = fmt.Sprintf("resize=squash,size=%d", scaled)
	default:
		return fmt.Errorf("pretrained_cfg: crop_mode %q cannot be declared: give --preprocess", c.CropMode)
	}
	filter := "pil-" + c.Filter
	if c.Filter == "nearest" {
		filter = c.Filter
	}
	k.preprocess = fmt.Sprintf("%s,filter=%s,channels=rgb,exif=ignore,scale=1/255,mean=%s,std=%s", how, filter,
		numbers3(c.Mean), numbers3(c.Std))
	return nil
}
