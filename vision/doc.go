// Package vision holds what flows from camera to message and the pure steps between:
// Frame → Preprocessor → Tensor → (a network) → Logits → Decider → Decision.
//
//	camera ──Frame──▶ vision.Preprocessor ──Tensor──▶ infer ──Logits──▶ vision.Decider ──Decision──▶ mqtt
//
// Nothing here starts a goroutine, logs, reads a file or touches a device.
package vision
