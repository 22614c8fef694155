package bundle

// FileKnown is the key in Spec.Files of what the network's features of known classes look like:
// vision.Known, made by calibrate and teach. A bundle without it calls nothing unknown by its
// features.
const FileKnown = "known"

// KnownName is the name of that file: safetensors, float32 axes [dims, features], centres
// [classes, dims] and null [pictures], the metadata with the precision of the features.
const KnownName = "known.safetensors"
