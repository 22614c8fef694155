package selfexec

import "github.com/spf13/pflag"

// Flags are the flags that were given, as arguments for a process that is to have the same.
func Flags(given *pflag.FlagSet) (args []string) {
	given.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				args = append(args, "--"+f.Name+"="+v)
			}
			return
		}
		args = append(args, "--"+f.Name+"="+f.Value.String())
	})
	return args
}
