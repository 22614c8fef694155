//go:build race

package racetest

// Enabled reports whether the race detector is in this program.
const Enabled = true
