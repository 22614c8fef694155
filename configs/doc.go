// Package configs joins the settings of one run: built-in default < file < environment < flags.
// The built-in default, default.yaml, is also the manual: every key stands there with its meaning.
package configs
