//go:build matprofile && gocv

package camera

import "gocv.io/x/gocv"

func init() { mats = gocv.MatProfile.Count }
