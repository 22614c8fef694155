//go:build !linux

package selfexec

import "os/exec"

func tie(*exec.Cmd) {}

func lowest() error { return nil }

func spare(int) {}

// LowestPriority changes nothing here.
func LowestPriority() error { return nil }
