//go:build !linux

package mqtt

import (
	"syscall"
	"time"
)

// Elsewhere than on Linux these say that they do not know.

func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
func sinceBoot() time.Duration                            { return 0 }
func clockSynced() bool                                   { return false }
func bootID() string                                      { return "" }
