//go:build !race

// Package racetest tells tests whether they run under the race detector, which needs time and memory of its own.
package racetest

// Enabled reports whether the race detector is in this program.
const Enabled = false
