// Package infer turns a Tensor into Logits with ONNX Runtime: it finds and loads the library,
// climbs down the ladder of execution providers without ever doing so silently, and runs a network
// without allocating.
package infer
