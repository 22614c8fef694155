package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// teachable is the metadata.json of Google's Teachable Machine.
type teachable struct {
	Package string   `json:"packageName"`
	Labels  []string `json:"labels"`
	Size    int      `json:"imageSize"`
	Grey    bool     `json:"grayscale"`
}

// ofTeachable reads metadata.json of Teachable Machine: the labels, and the pictures as the Python
// program prepares them that it gives with a Keras model (ImageOps.fit to the size with Lanczos,
// value / 127.5 − 1; snippets/markdown/image/tensorflow/keras.md of
// googlecreativelab/teachablemachine-community). fit crops and resizes in one, shortest-crop one
// after the other: they differ by a fraction of a pixel. A metadata.json of others tells nothing.
func ofTeachable(text []byte) (*known, error) {
	var c teachable
	if json.Unmarshal(text, &c) != nil || !strings.HasPrefix(c.Package, "@teachablemachine/") {
		return &known{}, nil
	}
	if c.Package != "@teachablemachine/image" {
		return nil, fmt.Errorf("is of %s, which does not classify pictures", c.Package)
	}
	if c.Size == 0 {
		c.Size = 224 // what files of before imageSize mean
	}
	if c.Size < 1 {
		return nil, fmt.Errorf("imageSize is %d", c.Size)
	}
	channels := "rgb"
	if c.Grey {
		channels = "grey"
	}
	return &known{labels: c.Labels, height: c.Size, width: c.Size, preprocess: fmt.Sprintf(
		"resize=shortest-crop,shorter=%d,filter=pil-lanczos,channels=%s,exif=ignore,scale=1/127.5,mean=1,1,1,std=1,1,1",
		c.Size, channels)}, nil
}

// ofCustomVision reads metadata_properties.json, which Azure's Custom Vision puts into an export.
func ofCustomVision(text []byte) (*known, error) {
	var said map[string]any
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, inJSON(err)
	}
	properties := map[string]string{}
	for key, v := range said {
		properties[key] = fmt.Sprint(v)
	}
	return customVision(properties)
}

// customVision reads the properties of Custom Vision, which its .onnx files hold, too: nothing
// where there are none. The filter is that of the Python program in the export (predict.py: PIL's
// resize, whose default is bicubic), as are the meanings of Image.BitmapPixelFormat and
// Image.NominalPixelRange (docs/MetadataProps.md of onnx).
func customVision(said map[string]string) (*known, error) {
	k := &known{multi: said["CustomVision.Postprocess.Method"] == "ClassificationMultiLabel"}
	if said["CustomVision.Metadata.Version"] == "" && said["CustomVision.Preprocess.ResizeMethod"] == "" {
		return &known{}, nil
	}
	geometry, err := k.customGeometry(said)
	if err != nil {
		return nil, err
	}
	values, err := customValues(said)
	if err != nil {
		return nil, err
	}
	channels := map[string]string{"": "rgb", "rgb8": "rgb", "bgr8": "bgr", "gray8": "grey"}[strings.ToLower(
		said["Image.BitmapPixelFormat"])]
	if channels == "" {
		return nil, fmt.Errorf("Image.BitmapPixelFormat is %q, which cannot be declared",
			said["Image.BitmapPixelFormat"])
	}
	k.preprocess = fmt.Sprintf("%s,filter=pil-bicubic,channels=%s,exif=ignore,%s", geometry, channels, values)
	return k, nil
}

// customGeometry is resize and crop; it notes the size of the input.
func (k *known) customGeometry(said map[string]string) (string, error) {
	number := func(key string) int {
		n, _ := strconv.Atoi(said["CustomVision.Preprocess."+key]) // no number is none
		return n
	}
	height, width := number("TargetHeight"), number("TargetWidth")
	cropHeight, cropWidth := number("CropHeight"), number("CropWidth")
	resize, crop := said["CustomVision.Preprocess.ResizeMethod"], said["CustomVision.Preprocess.CropMethod"]
	shorter := strings.HasPrefix(resize, "ByShorterSide")
	switch {
	case height < 1 || width < 1 || !shorter && resize != "Stretch" && resize != "":
		return "", fmt.Errorf("its resize (%q to %d×%d) cannot be declared", resize, height, width)
	case cropHeight > 0 && cropWidth > 0 && crop != "OneCropCenter":
		return "", fmt.Errorf("its crop (%q to %d×%d) cannot be declared", crop, cropHeight, cropWidth)
	case cropHeight > 0 && cropWidth > 0:
		k.height, k.width = cropHeight, cropWidth
		if shorter {
			return fmt.Sprintf("resize=shortest-crop,shorter=%d", min(height, width)), nil
		}
		return fmt.Sprintf("resize=squash,size=%d×%d", height, width), nil
	}
	k.height, k.width = height, width
	return "resize=squash", nil // as predict.py does, whatever the service did
}

// customValues are scale, mean and std. The two are in the units of the range; where they cannot
// be, nobody knows what is meant.
func customValues(said map[string]string) (string, error) {
	mean, std := []float64{0, 0, 0}, []float64{1, 1, 1}
	for key, v := range map[string]*[]float64{"NormalizeMean": &mean, "NormalizeStd": &std} {
		if text := said["CustomVision.Preprocess."+key]; text != "" && text != "null" {
			if json.Unmarshal([]byte(text), v) != nil || len(*v) != 3 {
				return "", fmt.Errorf("CustomVision.Preprocess.%s is %q, not three numbers", key, text)
			}
		}
	}
	plain := mean[0] == 0 && mean[1] == 0 && mean[2] == 0 && std[0] == 1 && std[1] == 1 && std[2] == 1
	scale := "1/255"
	switch pixels := said["Image.NominalPixelRange"]; strings.ToLower(pixels) {
	case "", "normalized_0_1":
		if mean[0] > 1 || std[0] > 1 {
			return "", errors.New("its mean and standard deviation are of 0 to 255, its pixels of 0 to 1")
		}
	case "nominalrange_0_255":
		scale = "1"
	case "normalized_1_1":
		if !plain {
			return "", errors.New("it normalizes twice (Image.NominalPixelRange and NormalizeMean)")
		}
		return "scale=1/127.5,mean=1,1,1,std=1,1,1", nil
	default:
		return "", fmt.Errorf("Image.NominalPixelRange is %q, which cannot be declared", pixels)
	}
	return fmt.Sprintf("scale=%s,mean=%s,std=%s", scale, numbers3(mean), numbers3(std)), nil
}
