// Package demo is a camera that needs no camera: machine parts on a conveyor, seen from above,
// drawn from a seed. It stands at the very start of the pipeline,
//
//	demo ──Frame──▶ vision.Preprocessor ──Tensor──▶ …
//
// and feeds the training of the network in demo/bundle with pictures of the very same kind. Parts
// pass the centre one at a time with bare belt between them; pose, proportions, metal, light,
// shadow, focus, noise and clutter follow from the seed. The same seed and frame number give the
// same picture, in any order.
package demo
