package resample

import (
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns n bytes between two pages that must not be touched, hard against the second, or
// against the first with early.
func fenced(t *testing.T, n int, early bool) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	room := (n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	for _, fence := range [][]byte{m[:page], m[page+room:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if early {
		return m[page:][:n:n]
	}
	return m[page+room-n:][:n:n]
}

// The kernel reads no byte before or behind the picture and the row between the sums: it would
// crash here.
func TestKernelStaysInside(t *testing.T) {
	if kernels() == 0 {
		t.Skip("this build has no vector kernel (no cgo, or not amd64 or arm64)")
	}
	for _, dim := range [][2]int{{1, 1}, {3, 2}, {5, 9}, {6, 1}, {11, 7}, {22, 3}, {320, 3}, {321, 200}} {
		for _, to := range [][2]int{{1, 1}, {4, 3}, {40, 41}} {
			for i, f := range slices.Concat(filters, filters) {
				p, err := New(Geometry{dim[0], dim[1], to[0], to[1], 0, 0, to[0], to[1]}, f)
				if err != nil {
					t.Fatal(err)
				}
				early := i >= len(filters)
				src := fenced(t, 3*dim[0]*dim[1], early)
				if p.row != nil {
					row := fenced(t, 2*len(p.row), early)
					p.row = unsafe.Slice((*int16)(unsafe.Pointer(&row[0])), len(p.row))
				}
				for p.kernel = range kernels() {
					if err := p.Apply(window(to[0], to[1], 0), src, 3*dim[0]); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}
