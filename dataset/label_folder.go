package dataset

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// folderLimit is the longest name that FolderOf gives, bytes: file systems take 255, and some
	// leave less.
	folderLimit = 200
	// folderDigest is the part of the label's SHA-256 that stands at the end of a shortened name,
	// hexadecimal digits.
	folderDigest = 32
	shortened    = "%~"
)

// FolderOf is the name of the folder of a class's pictures: the label itself, with what no name of a
// file can hold, or what is not safe there, as %XX. A label that is too long is cut and ends with its
// digest. Labels come from strangers: the name is never empty, "." or "..", is not hidden, and has no
// separator in it.
func FolderOf(label string) string {
	if label == "" {
		return "%"
	}
	var b strings.Builder
	cut := 0 // where the name can be cut
	for i, r := range label {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(label[i:])
		}
		edge := i == 0 || i+size == len(label)
		if r == utf8.RuneError || unsafe(r) || edge && (r == '.' || r == ' ') {
			for _, c := range []byte(label[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteRune(r)
		}
		if b.Len() <= folderLimit-len(shortened)-folderDigest {
			cut = b.Len()
		}
	}
	if b.Len() <= folderLimit {
		return b.String()
	}
	sum := sha256.Sum256([]byte(label))
	return b.String()[:cut] + shortened + fmt.Sprintf("%x", sum)[:folderDigest]
}

// unsafe reports whether a character is none for the name of a file on some system, or not to be
// seen.
func unsafe(r rune) bool {
	return strings.ContainsRune(`/\:*?"<>|%`, r) || !unicode.IsPrint(r)
}

// LabelOf is the class that a folder of FolderOf is for. ok is false where the name does not say it: it
// was shortened, or FolderOf never gives it.
func LabelOf(folder string) (label string, ok bool) {
	if folder == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(folder); i++ {
		if folder[i] != '%' {
			b.WriteByte(folder[i])
			continue
		}
		var c byte
		if i+2 >= len(folder) {
			return "", false
		}
		if n, err := fmt.Sscanf(folder[i+1:i+3], "%02X", &c); err != nil || n != 1 {
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	label = b.String()
	return label, FolderOf(label) == folder
}

// ClassOf is the index of the label that a folder is for: it bears its name, as it is or as FolderOf
// writes it, its accents composed or, as some systems write names of files, decomposed; -1: none.
func ClassOf(folder string, labels []string) int {
	if i := slices.Index(labels, folder); i >= 0 {
		return i
	}
	folder = norm.NFC.String(folder)
	return slices.IndexFunc(labels, func(label string) bool {
		label = norm.NFC.String(label)
		return label == folder || FolderOf(label) == folder
	})
}
