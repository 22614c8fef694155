package quant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// A file that the network does not allow is left out; that the disk is full, or the work was ended, is an error.
func TestUnmade(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	full := fmt.Errorf("write onnx: %w", &fs.PathError{Op: "write", Path: "/out/x", Err: syscall.ENOSPC})
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want error
		text string // in the error
	}{
		{"network", t.Context(), errors.New("no such operator"), nil, ""},
		{"disk", t.Context(), full, syscall.ENOSPC, "int8.cpu.onnx: write /out/x: no space left on device"},
		{"ended", ended, full, context.Canceled, ""},
	} {
		c := calibration{left: map[string]bool{}}
		err := c.unmade(tt.ctx, "int8", "int8.cpu.onnx", tt.err)
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v and %q", tt.name, err, tt.want, tt.text)
		}
		if c.left["int8"] != (tt.want == nil) || len(c.report.Findings) > 0 != (tt.want == nil) {
			t.Errorf("%s: left out: %v, findings %v", tt.name, c.left, c.report.Findings)
		}
	}
}
