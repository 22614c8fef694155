// Package vgg16se is the network of the article: VGG16 (Simonyan and Zisserman, arXiv 1409.1556)
// with a squeeze-and-excitation block (Hu et al., arXiv 1709.01507), or a relative of it, before
// each of its five max-pools.
//
//	Architecture ──Graph──▶ onnx.Model        checkpoint ──▶ weights ──▶ onnx.Model
//
// Its parameters bear the names that PyTorch's state_dict gives them, in PyTorch's own layout, so
// that a checkpoint becomes a graph without a single number moved. Reference computes the network
// in float64 with plain loops, independent of any runtime.
package vgg16se
