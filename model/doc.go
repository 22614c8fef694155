// Package model holds the words that flow from camera to message and the pure steps between them:
// Frame → Preprocessor → Tensor → (a network) → Logits → Decider → Decision.
//
//	camera ──Frame──▶ model.Preprocessor ──Tensor──▶ infer ──Logits──▶ model.Decider ──Decision──▶ mqtt
//
// A Bundle is the folder that says how one network wants its pictures and what its answers mean;
// its manifest, model.yaml, is a Spec. Nothing here starts a goroutine, logs, or touches a device.
package model
