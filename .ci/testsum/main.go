// Command testsum reads the output of `go test -json` on stdin and prints what a person wants of
// it: a line per package, the whole output of what failed, every skip with its reason, and at the
// end "N passed, N failed, N skipped". A skip fails the run unless the file named by its argument
// has a line that is a part of its reason; so does output without a single test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
)

// event is one line of test2json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type summary struct {
	out                     io.Writer
	expected                []string
	passed, failed, skipped int
	unexpected              int
	said                    map[string]*strings.Builder // output so far, by package and test
	blamed                  map[string]bool             // packages with a failed test
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go test -json ./... | testsum FILE-OF-EXPECTED-SKIPS")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatalf("testsum: %v", err)
	}
	s := &summary{out: os.Stdout, expected: reasons(string(text)), said: map[string]*strings.Builder{},
		blamed: map[string]bool{}}
	if err := s.read(os.Stdin); err != nil {
		log.Fatalf("testsum: %v", err)
	}
	fmt.Printf("%d passed, %d failed, %d skipped (%d unexpectedly)\n", s.passed, s.failed, s.skipped, s.unexpected)
	if s.failed > 0 || s.unexpected > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

// reasons returns the lines of text that are neither empty nor comments.
func reasons(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// read consumes the whole stream; lines that are not JSON (of make, of the compiler) pass through.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(s.out, lines.Text())
			continue
		}
		s.event(e)
	}
	return lines.Err()
}

func (s *summary) event(e event) {
	key := e.Package + " " + e.Test
	said := s.said[key]
	if said == nil {
		said = &strings.Builder{}
		s.said[key] = said
	}
	switch e.Action {
	case "output":
		said.WriteString(e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass", "fail", "skip":
		s.end(e, said.String())
		delete(s.said, key)
	}
}

// end counts one test, or prints the line of one package.
func (s *summary) end(e event, said string) {
	switch {
	case e.Test == "" && e.Action == "skip": // a package without tests
	case e.Test == "":
		fmt.Fprintf(s.out, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
		if e.Action == "fail" && !s.blamed[e.Package] { // it does not build, or its TestMain failed
			s.failed++
			fmt.Fprint(s.out, said)
		}
	case e.Action == "pass":
		s.passed++
	case e.Action == "fail":
		s.failed++
		s.blamed[e.Package] = true
		fmt.Fprint(s.out, said)
	default:
		s.skipped++
		word := "skip"
		if !s.isExpected(said) {
			s.unexpected++
			word = "UNEXPECTED SKIP"
		}
		fmt.Fprintf(s.out, "%s %s %s: %s\n", word, e.Package, e.Test, strings.Join(strings.Fields(said), " "))
	}
}

func (s *summary) isExpected(said string) bool {
	for _, reason := range s.expected {
		if strings.Contains(said, reason) {
			return true
		}
	}
	return false
}
