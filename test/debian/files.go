// SPDX-License-Identifier: MPL-2.0

package debian

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
)

// packageFile is one file of the archive.
type packageFile struct {
	// name of the file, such as "veth_1%3a2.0_amd64.deb".
	name string
	// hash of its content, such as "SHA256:9f86...".
	hash string
}

type packageFiles []packageFile

// String lists the files sorted by name, one per line.
func (f packageFiles) String() string {
	lines := make([]string, 0, len(f))

	for _, file := range f {
		lines = append(lines, file.name+" "+file.hash+"\n")
	}

	sort.Strings(lines)

	return strings.Join(lines, "")
}

// parseURIs parses the output of apt-get --print-uris: 'URI' NAME SIZE HASH.
func parseURIs(text string) (packageFiles, error) {
	var files packageFiles

	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}

		if len(fields) != 4 || !strings.HasSuffix(fields[1], ".deb") || !strings.HasPrefix(fields[3], "SHA256:") {
			return nil, fmt.Errorf("unexpected line of apt-get --print-uris: %q", line)
		}

		files = append(files, packageFile{name: fields[1], hash: fields[3]})
	}

	if len(files) == 0 {
		return nil, fmt.Errorf("apt-get --print-uris names no package")
	}

	return files, nil
}

// choose returns the package that matches the first possible alternative of spec.
func choose(spec string, names []string) (string, error) {
	for alternative := range strings.SplitSeq(spec, "|") {
		pattern := strings.TrimSpace(alternative)
		newest := ""

		for _, name := range names {
			// path.Match's "*" stops at "/", which no package name has.
			matches, err := path.Match(pattern, name)
			if err != nil {
				return "", fmt.Errorf("invalid package pattern %q: %w", pattern, err)
			}

			if matches && (newest == "" || older(newest, name)) {
				newest = name
			}
		}

		if newest != "" {
			return newest, nil
		}
	}

	return "", fmt.Errorf("no package matches %q", spec)
}

var digits = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// older compares names part by part, numbers by their value: 6.18.9 is older than 6.18.15.
func older(a, b string) bool {
	left, right := digits.FindAllString(a, -1), digits.FindAllString(b, -1)

	for i := range min(len(left), len(right)) {
		if left[i] == right[i] {
			continue
		}

		x, y := strings.TrimLeft(left[i], "0"), strings.TrimLeft(right[i], "0")
		numbers := isNumber(left[i]) && isNumber(right[i])

		if numbers && len(x) != len(y) {
			return len(x) < len(y)
		}

		return x < y
	}

	return len(left) < len(right)
}

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }
