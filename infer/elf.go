package infer

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Binary is what the header of a shared library says of it, read without loading it.
type Binary struct {
	Arch   string   // amd64, arm64, or the ELF name of another machine
	Glibc  string   // the oldest GNU C library that it runs with, 2.28; "": it names none
	Needed []string // names of the libraries that it wants loaded with it
	Defs   []string // versions that its own symbols carry: VERS_1.27.0 of ONNX Runtime
}

var arches = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}

// ReadBinary reads the header of the library at path. A file that is none is an error without the
// path.
func ReadBinary(path string) (*Binary, error) {
	file, err := atomicfile.OpenRegular(path)
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return nil, missing.Err
	}
	if err != nil {
		return nil, errors.New("is no file")
	}
	defer file.Close()
	f, err := elf.NewFile(file)
	if err != nil {
		return nil, errors.New("is no library for Linux")
	}
	b := &Binary{Arch: arches[f.Machine]}
	if b.Arch == "" {
		b.Arch = strings.TrimPrefix(f.Machine.String(), "EM_")
	}
	// A library without dynamic section, or with a damaged one, needs nothing that we could name.
	b.Needed, _ = f.DynString(elf.DT_NEEDED)
	needs, _ := f.DynamicVersionNeeds()
	for _, n := range needs {
		for _, v := range n.Needs {
			if glibc, ok := strings.CutPrefix(v.Dep, "GLIBC_"); ok && newer(glibc, b.Glibc) {
				b.Glibc = glibc
			}
		}
	}
	defs, _ := f.DynamicVersions()
	for _, v := range defs {
		b.Defs = append(b.Defs, v.Name)
	}
	return b, nil
}

// Fits says in one sentence without its subject why the library does not run on this machine, whose
// C library is glibc; nil where nothing speaks against it.
func (b *Binary) Fits(glibc string) error {
	switch {
	case b.Arch != runtime.GOARCH:
		return fmt.Errorf("is for %s, this machine is %s: take the build for %s", b.Arch, runtime.GOARCH,
			runtime.GOARCH)
	case glibc != "" && newer(b.Glibc, glibc):
		return fmt.Errorf("needs glibc %s, this system has %s: take a build for an older system, or update this one",
			b.Glibc, glibc)
	}
	return nil
}

// newer reports whether version a, such as 2.28, comes after b. Numbers count, not digits: 2.4 is
// before 2.28.
func newer(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) > 0 }

// numbers are the leading numbers of a version: 1.24.0-dev is 1, 24, 0.
func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		digits := part
		if i := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = part[:i]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		all = append(all, n)
		if digits != part {
			break
		}
	}
	return all
}
