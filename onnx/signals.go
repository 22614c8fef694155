package onnx

import "fmt"

// MostBlocks is the largest number of attention blocks whose signals a file has as outputs.
const MostBlocks = 64

// SqueezeOutput is the name of the output with the channel means of an attention block, from 1.
func SqueezeOutput(block int) string { return fmt.Sprintf("squeeze%d", block) }

// GateOutput is the name of the output with the factors of an attention block, from 1.
func GateOutput(block int) string { return fmt.Sprintf("gate%d", block) }
