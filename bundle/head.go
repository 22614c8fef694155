package bundle

import "fmt"

// FileHead is the key in Spec.Files of the last layer, where it is not in the model files: these
// then answer with the features of a picture.
const FileHead = "head"

// HeadName is the name of that file: safetensors, float32 weight [classes, features], bias
// [classes] and, where features are centred and brought to length 1, mean [features].
const HeadName = "head.safetensors"

// HasHead tells whether the last layer stands in a file of its own.
func (s *Spec) HasHead() bool {
	_, ok := s.Files[FileHead]
	return ok
}

// WholeNetwork refuses a bundle whose model files do not hold its last layer; verb is what cannot
// be done with it.
func (b *Bundle) WholeNetwork(verb string) error {
	if !b.Spec.HasHead() {
		return nil
	}
	return fmt.Errorf("bundle: %s was taught: its last layer stands in %s, behind the network; %s the bundle that it "+
		"was taught from, then teach that", b.Dir, b.Spec.Files[FileHead].Path, verb)
}
