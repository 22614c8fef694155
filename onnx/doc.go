// Package onnx reads and writes ONNX files: bytes ──Open──▶ Model ──Write──▶ bytes.
//
// Open maps the file and walks its protobuf fields; the weights stay where they are, as slices of
// the mapping, so a 554 MB network opens in well under a millisecond with under a megabyte of heap.
// Write streams: it computes every size first and then copies the weights through, or lets a
// function produce them. What the package does not understand (training info, quantization
// annotations, functions, …) it carries along byte by byte. Field numbers are those of onnx.proto3
// (github.com/onnx/onnx, Apache-2.0).
package onnx
