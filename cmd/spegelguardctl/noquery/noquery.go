// SPDX-License-Identifier: MPL-2.0

// Package noquery keeps bubbletea from asking the terminal for its background colour whenever the program starts, whatever the
// command: a serial console does not answer, and each command would wait for five seconds.
//
// bubbletea does it in its init function. Go initializes packages by their import paths as soon as their imports are (language
// specification, "Program initialization"): this one imports os alone and precedes os/signal, which bubbletea imports.
package noquery

import "os"

// variable makes termenv take any output for no terminal.
const variable = "CI"

var set = disable()

func disable() bool {
	return os.Getenv(variable) == "" && os.Setenv(variable, "true") == nil
}

// Restore undoes the change of the environment. It is called when all packages are initialized.
func Restore() {
	if set {
		os.Unsetenv(variable) //nolint:errcheck // it was set
	}
}
