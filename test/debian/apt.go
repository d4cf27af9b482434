// SPDX-License-Identifier: MPL-2.0

package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

// mirror is Debian's mirror.
const mirror = "http://deb.debian.org/debian"

// client runs apt with all its files below one folder.
type client struct {
	dir   string
	suite string
}

// newClient prepares dir and fetches the package lists of the suite.
func newClient(ctx context.Context, dir, suite, keyring string) (client, error) {
	c := client{dir: dir, suite: suite}

	for _, folder := range []string{"etc", "state/lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return client{}, err
		}
	}

	for name, text := range map[string]string{
		"apt.conf":     configuration(dir),
		"sources.list": sources(suite, keyring),
		// No package is installed, so apt resolves every dependency.
		"status": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return client{}, err
		}
	}

	// Without Error-Mode apt-get ignores a list that cannot be fetched, and finds fewer packages later.
	_, err := c.run(ctx, "apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any")

	return c, err
}

// configuration makes apt ignore the files of the host, including its hooks and preferences.
func configuration(dir string) string {
	var text strings.Builder

	for _, option := range [][2]string{
		{"Dir::Etc", filepath.Join(dir, "etc")},
		{"Dir::Etc::Main", os.DevNull},
		{"Dir::Etc::Parts", os.DevNull},
		{"Dir::Etc::SourceList", filepath.Join(dir, "sources.list")},
		{"Dir::Etc::SourceParts", os.DevNull},
		{"Dir::Etc::Preferences", os.DevNull},
		{"Dir::Etc::PreferencesParts", os.DevNull},
		{"Dir::State", filepath.Join(dir, "state")},
		{"Dir::State::Lists", filepath.Join(dir, "state/lists")},
		{"Dir::State::Status", filepath.Join(dir, "status")},
		{"Dir::Cache", dir},
		{"Dir::Cache::Archives", filepath.Join(dir, "archives")},
		{"Dir::Log", filepath.Join(dir, "log")},
		// The guest and its emulator are of this architecture.
		{"APT::Architecture", "amd64"},
		{"APT::Architectures", "amd64"},
		{"APT::Install-Recommends", "false"},
		// The user _apt cannot write into the cache of another user.
		{"APT::Sandbox::User", "root"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "3"},
		{"Acquire::ForceHash", "SHA256"},
	} {
		fmt.Fprintf(&text, "%s %q;\n", option[0], option[1])
	}

	return text.String()
}

// sources lists the suite and, for backports, the release that they extend.
func sources(suite, keyring string) string {
	var text strings.Builder

	for _, s := range []string{release(suite), suite} {
		line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, s)

		if !strings.Contains(text.String(), line) {
			text.WriteString(line)
		}
	}

	return text.String()
}

// release is the suite without "-backports".
func release(suite string) string {
	return strings.TrimSuffix(suite, "-backports")
}

func (c client) archives() string { return filepath.Join(c.dir, "archives") }

// run runs a program of apt and returns its standard output.
func (c client) run(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(),
		"APT_CONFIG="+filepath.Join(c.dir, "apt.conf"), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	// "apt-get download" writes into the working folder.
	cmd.Dir = c.archives()

	return artifacts.Output(cmd)
}

// arguments returns the arguments with which apt-get downloads the packages of a request.
func (c client) arguments(ctx context.Context, req request) ([]string, error) {
	args := []string{"download", "-qq"}

	if req.dependencies {
		args = []string{"install", "--download-only", "--yes", "-qq"}
	}

	args = append(args, "-t", c.suite)

	for _, spec := range req.packages {
		name := spec

		if strings.ContainsAny(spec, "|*") {
			names, err := c.run(ctx, "apt-cache", "pkgnames")
			if err != nil {
				return nil, err
			}

			if name, err = choose(spec, strings.Fields(string(names))); err != nil {
				return nil, err
			}
		}

		args = append(args, name)
	}

	return args, nil
}

// resolve returns the files that apt would download.
func (c client) resolve(ctx context.Context, args []string) (packageFiles, error) {
	out, err := c.run(ctx, "apt-get", append([]string{"--print-uris"}, args...)...)
	if err != nil {
		return nil, err
	}

	return parseURIs(string(out))
}
