package redact

import (
	"fmt"
	"unicode"
)

// Unseen names the first character of a text that nobody sees and that is no ordinary blank, such as
// "U+200B" or "U+00A0"; empty: there is none.
func Unseen(text string) string {
	for _, r := range text {
		if unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) && r > unicode.MaxASCII {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}
