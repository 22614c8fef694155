package page

import "regexp"

var (
	key   = regexp.MustCompile(`(?:^|[\s,{])(?:'([^']+)'|([a-z]+)): '`)
	asked = regexp.MustCompile(`\bt\('([^']*[^'.])'[,)]`) // one that ends in a dot is put together
)

// keys are those of an object of words in JavaScript.
func keys(text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range key.FindAllStringSubmatch(text, -1) {
		all[m[1]+m[2]] = true
	}
	return all
}
