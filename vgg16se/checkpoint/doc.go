// Package checkpoint reads the files that trained networks are saved in: file ──Open──▶ named tensors.
//
// Files are mapped, and tensors are slices of the mapping: a 554 MB checkpoint costs a few hundred
// kilobytes of heap. Checkpoints are foreign input. Nothing in them is executed, what they
// claim is checked before it is believed, and a hostile one costs no more than heapLimit of heap.
package checkpoint
