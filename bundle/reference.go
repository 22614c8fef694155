package bundle

// FileReference is the key in Spec.Files of what stands in for the pictures that the bundle was
// calibrated on or taught with, made by calibrate and teach.
const FileReference = "reference"

// ReferenceName is the name of that file: safetensors of
//
//	mean         float32 [features]          of the features of all pictures
//	axes         float16 [dims, features]    their principal directions; not there where dims is features
//	coordinates  float16 [pictures, dims]    of each picture that is kept: features = mean + coordinates·axes
//	class        float32 [pictures]          places in labels
//	means        float32 [labels, dims]      of the coordinates of all pictures of a label; 0 without any
//	covariance   float32 [dims, dims]        of the coordinates around these, shared by all labels
//	squeeze1…    float32 [7, channels]       of each attention block, over all pictures, for each channel:
//	gate1…       float32 [7, channels]       the quantiles at 1, 5, 25, 50, 75, 95 and 99 %
//
// and the metadata labels (JSON), precision, pictures (how many), and judged ("folders", or "network"
// where that said what a picture shows).
const ReferenceName = "reference.safetensors"
