//go:build !linux

package camera

import (
	"errors"
	"time"
)

// v4l2 is Linux's.
type v4l2 struct{}

type capability struct {
	driver, card, bus string
	captures          bool
}

func openV4L2(string) (*v4l2, error) {
	return nil, errors.New("cameras of this kind are Linux's")
}

func (v *v4l2) close() error                    { return nil }
func (v *v4l2) capability() (capability, error) { return capability{}, errors.ErrUnsupported }
func (v *v4l2) busy(*capability) bool           { return false }
func (v *v4l2) modes(*capability) []Mode        { return nil }
func sinceBoot() time.Duration                  { return 0 }
func undisturbed(f func())                      { f() }
