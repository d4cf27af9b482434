//go:build linux

package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
)

// configured is a ConfigController in a controller runtime, over a document in a file.
type configured struct {
	state  state.State
	active *config.Active
	path   string
}

// newConfigured starts it with a document; an empty one is no file.
func newConfigured(t *testing.T, document string) *configured {
	t.Helper()

	c := &configured{
		state: state.WrapCore(namespaced.NewState(inmem.Build)), active: &config.Active{}, path: filepath.Join(t.TempDir(), "config.yaml"),
	}
	require.NoError(t, resources.Register(t.Context(), c.state))

	if document != "" {
		c.write(t, document)
	}

	engine, err := runtime.NewRuntime(c.state, zaptest.NewLogger(t))
	require.NoError(t, err)
	require.NoError(t, engine.RegisterController(&controllers.ConfigController{
		Path: c.path, Initial: controllers.LoadConfig(c.path), Active: c.active, Interval: time.Millisecond,
	}))

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- engine.Run(ctx) }()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})

	return c
}

func (c *configured) write(t *testing.T, document string) {
	t.Helper()
	require.NoError(t, os.WriteFile(c.path+".new", []byte(document), 0o600))
	require.NoError(t, os.Rename(c.path+".new", c.path))
}

// watchFor is the condition of a watch for a resource.
func watchFor[T resource.Resource](match func(T) bool) state.WatchForConditionFunc {
	return state.WithCondition(func(r resource.Resource) (bool, error) {
		found, ok := r.(T)

		return ok && match(found), nil
	})
}

// spec waits until the configuration matches.
func (c *configured) spec(t *testing.T, match func(resources.GuardConfigSpec) bool) resources.GuardConfigSpec {
	t.Helper()

	published, err := safe.StateWatchFor[*resources.GuardConfig](t.Context(), c.state,
		resources.NewGuardConfig(resources.GuardConfigID).Metadata(), watchFor(func(g *resources.GuardConfig) bool { return match(*g.TypedSpec()) }))
	require.NoError(t, err)

	return *published.TypedSpec()
}

// condition waits until the condition has a reason, and returns its message.
func (c *configured) condition(t *testing.T, reason string) string {
	t.Helper()

	condition, err := safe.StateWatchFor[*resources.Condition](t.Context(), c.state,
		resources.NewCondition(resources.ConditionConfig).Metadata(), watchFor(func(c *resources.Condition) bool { return c.TypedSpec().Reason == reason }))
	require.NoError(t, err)

	return condition.TypedSpec().Message
}

func TestConfigController_PublishesInitialDocument(t *testing.T) {
	for _, test := range []struct {
		name, document string
		mode, source   string
		reason, text   string
	}{
		{name: "no document", mode: "enforce", source: controllers.SourceDefaults, reason: resources.ReasonOK},
		{name: "good document", document: "mode: observe", mode: "observe", reason: resources.ReasonOK},
		{
			name: "bad document", document: "mode: perhaps", mode: "observe", source: controllers.SourceFallback,
			reason: resources.ReasonBadConfig, text: "the defaults are in force in mode observe",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newConfigured(t, test.document)

			spec := c.spec(t, func(s resources.GuardConfigSpec) bool { return s.Document != "" })
			assert.Equal(t, test.mode, spec.Mode)

			if test.source == "" {
				test.source = c.path
			}

			assert.Equal(t, test.source, spec.Source)
			assert.Contains(t, c.condition(t, test.reason), test.text)

			cfg, err := c.active.Parse(spec.Document)
			require.NoError(t, err)
			assert.Equal(t, test.mode, string(cfg.Mode))
		})
	}
}

func TestConfigController_KeepsLastGoodDocument(t *testing.T) {
	c := newConfigured(t, "")
	c.spec(t, func(s resources.GuardConfigSpec) bool { return s.Mode == "enforce" })

	c.write(t, "mode: observe")

	good := c.spec(t, func(s resources.GuardConfigSpec) bool { return s.Mode == "observe" })
	assert.Equal(t, c.path, good.Source)
	assert.Contains(t, good.Settings, resources.ConfigSetting{Field: "mode", Value: "observe", Origin: "line 1"})

	c.write(t, "mode: perhaps")

	bad := c.spec(t, func(s resources.GuardConfigSpec) bool { return s.LastError != "" })
	assert.Contains(t, bad.LastError, `line 1: invalid mode "perhaps": must be observe or enforce`)
	assert.Equal(t, good.Document, bad.Document)
	assert.Contains(t, c.condition(t, resources.ReasonBadConfig), "the last good configuration stays in force")

	require.NoError(t, os.Remove(c.path))
	c.spec(t, func(s resources.GuardConfigSpec) bool { return s.LastError == "" && s.Mode == "enforce" })
	c.condition(t, resources.ReasonOK)
}

func TestConfigController_NamesFieldsThatNeedRestart(t *testing.T) {
	for _, test := range []struct{ name, before, after, fields string }{
		{"port of the API", "", "api: {listen: ':1'}", "api.listen"},
		{"API off", "", "api: {tls: {source: none}}", "api.tls"},
		{"forwarding", "", "api: {forward: true}", "api.forward"},
		{"metrics on", "", "metrics: {listen: ':1'}", "metrics.listen"},
		{"TLS of metrics", "metrics: {listen: ':1'}", "metrics: {listen: ':1', tls: {source: talos}}", "metrics.tls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newConfigured(t, test.before)
			c.condition(t, resources.ReasonOK)

			c.write(t, test.after)
			assert.Equal(t, "restart the service to apply "+test.fields+"; all other fields are in force", c.condition(t, resources.ReasonRestartRequired))
		})
	}
}
