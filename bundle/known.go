package bundle

// FileKnown is the key in Spec.Files of what the network's features of known classes look like:
// vision.Known, made by calibrate and teach. A bundle without it calls nothing unknown by its
// features.
const FileKnown = "known"

// KnownName is the name of that file: safetensors, float32 axes [dims, features], centres
// [classes, dims] and null [pictures], each behind the kind of model file that it is of and a slash:
// features in 8 bits are no features in floating point.
const KnownName = "known.safetensors"
