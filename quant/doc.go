// Package quant makes integer and half-precision files of a network: pictures ──Collect──▶ histograms
// ──Choose──▶ scales ──EmitCPU, EmitTRT, EmitFP16──▶ model files ──Evaluate──▶ what they cost.
//
// It runs networks by infer.Probe, on the CPU. One collection is enough for every file. Everything
// but latencies is reproducible, and what follows from them: where integers are not plainly faster,
// which layers stay in float is measured. The same pictures give the same bytes in any order and on any
// number of workers.
package quant
