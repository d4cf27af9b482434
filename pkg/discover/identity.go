// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/spegel-guard/spegel-guard/internal/regular"
)

// maxEnviron is what is read of a process's environment, in bytes.
const maxEnviron = 128 << 10

// podIdentity returns a process's pod as its container shows it: the host name is the name of the pod, and the mount of the
// service account, when there is one, has the namespace. Both can be anything, because the container writes them: a value
// that is no name of Kubernetes is left out.
func podIdentity(dir string) (pod, namespace string) {
	if name := hostname(filepath.Join(dir, "environ")); len(validation.IsDNS1123Subdomain(name)) == 0 {
		pod = name
	}

	const file = "var/run/secrets/kubernetes.io/serviceaccount/namespace"

	data, err := regular.ReadFileIn(filepath.Join(dir, "root"), file, int64(validation.DNS1123LabelMaxLength)+1)
	if err != nil {
		return pod, ""
	}

	if name := strings.TrimSpace(string(data)); len(validation.IsDNS1123Label(name)) == 0 {
		namespace = name
	}

	return pod, namespace
}

// hostname returns the variable HOSTNAME of an environment in procfs.
func hostname(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}

	defer file.Close() //nolint:errcheck // read only

	environ, err := io.ReadAll(io.LimitReader(file, maxEnviron))
	if err != nil {
		return ""
	}

	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(entry, []byte("HOSTNAME=")); ok {
			return string(value)
		}
	}

	return ""
}
