// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// release writes the resources of a new release: go test ./pkg/resources -run Skew -release v0.2.
var release = flag.String("release", "", "write the resources of this release to testdata")

// sent is a resource as a guard of a release sends it.
type sent struct {
	// Proto is its spec as protobuf in base64, Spec the same as the clients print it.
	Proto string         `yaml:"proto"`
	Spec  map[string]any `yaml:"spec"`
}

// TestSkew_ResourcesOfReleasesAreRead: spegelguardctl reads the guards of earlier releases. A field that a release has keeps its
// number, type and name.
func TestSkew_ResourcesOfReleasesAreRead(t *testing.T) {
	if *release != "" {
		write(t, filepath.Join("testdata", *release, "resources.yaml"))
	}

	releases, err := filepath.Glob("testdata/v*/resources.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, releases)

	for _, path := range releases {
		data, err := os.ReadFile(path)
		require.NoError(t, err)

		byType := map[string]sent{}
		require.NoError(t, yaml.Load(data, &byType))

		for kind, want := range byType {
			t.Run(filepath.Base(filepath.Dir(path))+"/"+kind, func(t *testing.T) {
				spec, err := base64.StdEncoding.DecodeString(want.Proto)
				require.NoError(t, err)
				assertHas(t, want.Spec, received(t, kind, spec), "spec")

				// A field of a later release is left out.
				newer := protowire.AppendString(protowire.AppendTag(spec, 1000, protowire.BytesType), "new")
				assertHas(t, want.Spec, received(t, kind, newer), "spec")
			})
		}
	}
}

// received returns a spec as a client prints it.
func received(t *testing.T, kind resource.Type, spec []byte) map[string]any {
	t.Helper()

	return printed(t, decode(t, kind, spec))
}

func decode(t *testing.T, kind resource.Type, spec []byte) resource.Resource {
	t.Helper()

	message, err := protobuf.Unmarshal(&v1alpha1.Resource{
		Metadata: &v1alpha1.Metadata{Namespace: resources.Namespace, Type: kind, Id: "x", Version: "1", Phase: "running"},
		Spec:     &v1alpha1.Spec{ProtoSpec: spec},
	})
	require.NoError(t, err)

	typed, err := protobuf.UnmarshalResource(message)
	require.NoError(t, err)

	return typed
}

func printed(t *testing.T, r resource.Resource) map[string]any {
	t.Helper()

	text, err := yaml.Dump(r.Spec())
	require.NoError(t, err)

	values := map[string]any{}
	require.NoError(t, yaml.Load(text, &values))

	return values
}

// assertHas asserts that all values of a release are there. Others may be new.
func assertHas(t *testing.T, want, got any, path string) {
	t.Helper()

	switch want := want.(type) {
	case map[string]any:
		values, ok := got.(map[string]any)
		require.True(t, ok, path)

		for key, value := range want {
			assertHas(t, value, values[key], path+"."+key)
		}
	case []any:
		values, ok := got.([]any)
		require.True(t, ok, path)
		require.Len(t, values, len(want), path)

		for i := range want {
			assertHas(t, want[i], values[i], fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		assert.Equal(t, want, got, path)
	}
}

// write writes a resource of each type with a value in every field.
func write(t *testing.T, path string) {
	t.Helper()

	byType := map[string]sent{}

	for _, kind := range resources.Types() {
		r := decode(t, kind, nil)
		fill(reflect.ValueOf(r.Spec()).Elem(), new(int))

		message, err := protobuf.FromResource(r)
		require.NoError(t, err)

		wire, err := message.Marshal()
		require.NoError(t, err)

		byType[kind] = sent{Proto: base64.StdEncoding.EncodeToString(wire.GetSpec().GetProtoSpec()), Spec: printed(t, r)}
	}

	text, err := yaml.Dump(byType)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

// fill sets every field to another value.
func fill(v reflect.Value, n *int) {
	*n++

	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Unix(1795000000+int64(*n), 0).UTC()

		return
	}

	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	default:
		panic("no value for " + v.Type().String())
	}
}
