// Package quant makes integer and half-precision files of a network: pictures ──Collect──▶ histograms
// ──Choose──▶ scales ──EmitCPU, EmitTRT, EmitFP16──▶ model files ──Judge──▶ what they cost.
//
// It reads graphs, not runtimes: whatever runs a network stands behind *infer.Probe, and one
// collection is enough for every file. Everything but latencies is reproducible: the same pictures
// give the same bytes in any order and on any number of workers.
package quant
