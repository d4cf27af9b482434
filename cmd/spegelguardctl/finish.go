// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// finish gives a command and all below it what they have in common: durations with days, errors about arguments in words, and the
// completion of targets.
func (a *app) finish(cmd *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(readDays)
	}

	if cmd.Args != nil {
		check := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}

			return argumentError(cmd, args)
		}
	}

	if cmd.Flags().Lookup("target") != nil {
		a.complete(cmd, "target", targets)
	}

	if cmd.ValidArgsFunction == nil && strings.Contains(cmd.Use, "[TARGET]") {
		cmd.ValidArgsFunction = a.completion(targets, 1)
	}

	for _, sub := range cmd.Commands() {
		a.finish(sub)
	}
}

// argumentError says what is missing, or what is too much.
func argumentError(cmd *cobra.Command, args []string) error {
	use := strings.Fields(cmd.Use)[1:]
	usage := strings.Join(append([]string{cmd.CommandPath()}, use...), " ")

	switch {
	case cmd.HasSubCommands():
		return fmt.Errorf("unknown command %q: %s --help lists the commands", args[0], cmd.CommandPath())
	case len(use) == 0:
		return fmt.Errorf("unexpected argument %q: %s takes none, nodes are selected with --nodes", args[0], cmd.CommandPath())
	case len(args) > len(use):
		return fmt.Errorf("unexpected argument %q: %s", args[len(use)], usage)
	default:
		return fmt.Errorf("missing %s: %s, for example: %s", use[len(args)], usage, strings.TrimSpace(cmd.Example))
	}
}

// flagError returns the error of a flag in the form of all others.
func flagError(_ *cobra.Command, err error) error {
	var (
		invalid *pflag.InvalidValueError
		number  *strconv.NumError
	)

	if !errors.As(err, &invalid) {
		return err
	}

	if reason := invalid.Unwrap(); errors.As(reason, &number) {
		return fmt.Errorf("invalid --%s %q: must be a whole number", invalid.GetFlag().Name, invalid.GetValue())
	} else if reason != nil {
		return fmt.Errorf("invalid --%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), reason)
	}

	return err
}
