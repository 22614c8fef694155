package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/infer"
)

// flagWords are the values of flags that take one of a few words, whichever verb has them.
var flagWords = map[string][]string{
	"precision":  {"auto", "fp32", "fp16", "bf16", "int8"},
	"provider":   {"auto", "cpu", "openvino", "cuda", "tensorrt"},
	"method":     {"auto", "minmax", "percentile", "entropy", "mse"},
	"weights":    {"auto", "8", "7", "8-pairwise"},
	"goldens":    {"pictures", "none"},
	"attention":  {"se", "sse", "scse", "bam", "cbam", "none"},
	"log-level":  {"debug", "info", "warn", "error"},
	"log-format": {"text", "json"},
	"preprocess": {"torchvision"},
}

// addCompletions gives the shells what they complete beyond verbs and flags: words of flags, keys of
// settings, and what is installed.
func addCompletions(root *cobra.Command, s *settings) {
	walk(root, func(cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(cmd, f) })
		switch path := cmd.CommandPath(); {
		case strings.HasSuffix(path, "model activate"), strings.HasSuffix(path, "model remove"):
			cmd.ValidArgsFunction = once(s.modelNames)
		case strings.HasSuffix(path, "runtime use"), strings.HasSuffix(path, "runtime remove"):
			cmd.ValidArgsFunction = once(s.runtimeNames)
		}
	})
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(root, f) })
	// An error would name a flag that is completed twice, or does not exist.
	_ = root.RegisterFlagCompletionFunc("set", func(_ *cobra.Command, _ []string, begun string) ([]string,
		cobra.ShellCompDirective) {
		var keys []string
		for _, key := range configs.Keys() {
			if strings.HasPrefix(key, begun) {
				keys = append(keys, key+"=")
			}
		}
		return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, verb := range cmd.Commands() {
		walk(verb, visit)
	}
}

// completeFlag completes the words that the flag's own help names.
func completeFlag(cmd *cobra.Command, f *pflag.Flag) {
	var words []string
	for _, word := range flagWords[f.Name] {
		if strings.Contains(f.Usage+" "+f.DefValue, word) {
			words = append(words, word)
		}
	}
	if len(words) > 0 {
		_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// once completes the first argument alone.
func once(names func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) (fit []string, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			fit = slices.DeleteFunc(names(), func(name string) bool { return !strings.HasPrefix(name, begun) })
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// modelNames are the digests of what is installed, with their names.
func (s *settings) modelNames() (names []string) {
	e, err := s.load()
	if err != nil {
		return nil
	}
	all, _ := store.At(e.Config.StateDir).List() // what cannot be read completes nothing
	for _, i := range all {
		names = append(names, cobra.CompletionWithDesc(i.SHA256, strings.TrimSpace(i.Name+" "+i.Version)))
	}
	return names
}

// runtimeNames are those of the installed runtimes.
func (s *settings) runtimeNames() (names []string) {
	e, err := s.load()
	if err != nil {
		return nil
	}
	all, _ := infer.RuntimesAt(e.Config.Infer.Runtimes).List()
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}
