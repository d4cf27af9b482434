// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/filewatch"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// configured is a ConfigController over a document in a file.
type configured struct {
	*suite

	active *config.Active
	path   string
}

// newConfigured starts it with a document; an empty one is no file.
func newConfigured(t *testing.T, document string) *configured {
	t.Helper()

	c := &configured{active: &config.Active{}, path: filepath.Join(t.TempDir(), "config.yaml")}

	if document != "" {
		c.write(t, document)
	}

	c.suite = newSuite(t, newState(t), &ConfigController{Path: c.path, Initial: LoadConfig(c.path), Active: c.active, Interval: time.Millisecond})

	return c
}

func (c *configured) write(t *testing.T, document string) {
	t.Helper()
	require.NoError(t, os.WriteFile(c.path+".new", []byte(document), 0o600))
	require.NoError(t, os.Rename(c.path+".new", c.path))
}

// spec waits until the configuration matches.
func (c *configured) spec(match func(resources.GuardConfigSpec) bool) resources.GuardConfigSpec {
	return await(c.suite, resources.NewGuardConfig(resources.GuardConfigID), match)
}

// condition waits until the condition has a reason, and returns its message.
func (c *configured) condition(reason string) string {
	return await(c.suite, resources.NewCondition(resources.ConditionConfig), func(c resources.ConditionSpec) bool { return c.Reason == reason }).Message
}

func TestConfigController_PublishesInitialDocument(t *testing.T) {
	for _, test := range []struct {
		name, document string
		mode, source   string
		reason, text   string
	}{
		{
			name: "no document", mode: "enforce", source: SourceDefaults,
			reason: resources.ReasonOK, text: "no document: the defaults are in force, in mode enforce",
		},
		{name: "good document", document: "mode: observe", mode: "observe", reason: resources.ReasonOK},
		{
			name: "bad document", document: "mode: perhaps", mode: "observe", source: SourceFallback,
			reason: resources.ReasonBadConfig, text: "the defaults are in force in mode observe",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newConfigured(t, test.document)

			spec := c.spec(func(s resources.GuardConfigSpec) bool { return s.Document != "" })
			assert.Equal(t, test.mode, spec.Mode)

			if test.source == "" {
				test.source = c.path
			}

			assert.Equal(t, test.source, spec.Source)
			assert.Contains(t, c.condition(test.reason), test.text)

			cfg, err := c.active.Parse(spec.Document)
			require.NoError(t, err)
			assert.Equal(t, test.mode, string(cfg.Mode))
		})
	}
}

// oneEvent is a runtime whose queue has one event and takes no further one: the runtime merges events that nobody has read yet.
type oneEvent struct {
	controller.Runtime

	events chan controller.ReconcileEvent
	modes  chan string
}

func (r oneEvent) EventCh() <-chan controller.ReconcileEvent { return r.events }

func (oneEvent) QueueReconcile() {}

func (oneEvent) ResetRestartBackoff() {}

func (r oneEvent) Modify(_ context.Context, empty resource.Resource, update func(resource.Resource) error, _ ...controller.ModifyOption) error {
	err := update(empty)

	if published, ok := empty.(*resources.GuardConfig); ok {
		r.modes <- published.TypedSpec().Mode
	}

	return err
}

// TestConfigController_ChangedBeforeWatch: a document that changes between the start of the service and the watch has no event.
func TestConfigController_ChangedBeforeWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("mode: observe"), 0o600))

	c := ConfigController{Path: path, Initial: LoadConfig(path), Active: &config.Active{}}

	require.NoError(t, os.WriteFile(path, []byte("mode: enforce"), 0o600))

	r := oneEvent{events: make(chan controller.ReconcileEvent, 1), modes: make(chan string, 2)}
	r.events <- controller.ReconcileEvent{}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() { ended <- c.Run(ctx, r, zap.NewNop()) }()

	// As long as a slow machine may need, but the read at Fallback must not count.
	limit := time.After(filewatch.Fallback * 3 / 4)

	for _, want := range []string{"observe", "enforce"} {
		select {
		case mode := <-r.modes:
			assert.Equal(t, want, mode)
		case <-limit:
			assert.Fail(t, "the document is not read")
		}
	}

	cancel()
	require.NoError(t, <-ended)
}

func TestLoadConfig_EmptyFileIsNoDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, nil, 0o600))

	loaded := LoadConfig(path)
	require.NoError(t, loaded.Err)
	assert.Equal(t, SourceDefaults, loaded.Source)
	assert.Equal(t, config.Default(), loaded.Config)
}

func TestConfigController_KeepsLastGoodDocument(t *testing.T) {
	c := newConfigured(t, "")
	c.spec(func(s resources.GuardConfigSpec) bool { return s.Mode == "enforce" })

	c.write(t, "mode: observe")

	good := c.spec(func(s resources.GuardConfigSpec) bool { return s.Mode == "observe" })
	assert.Equal(t, c.path, good.Source)
	assert.Contains(t, good.Settings, resources.ConfigSetting{Field: "mode", Value: "observe", Origin: "line 1"})

	c.write(t, "mode: perhaps")

	bad := c.spec(func(s resources.GuardConfigSpec) bool { return s.LastError != "" })
	assert.Contains(t, bad.LastError, `line 1: invalid mode "perhaps": must be observe or enforce`)
	assert.Equal(t, good.Document, bad.Document)
	assert.Contains(t, c.condition(resources.ReasonBadConfig), "the last good configuration stays in force")

	require.NoError(t, os.Remove(c.path))
	c.spec(func(s resources.GuardConfigSpec) bool { return s.LastError == "" && s.Mode == "enforce" })
	c.condition(resources.ReasonOK)
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
			c.condition(resources.ReasonOK)

			c.write(t, test.after)
			assert.Equal(t, "restart the service to apply "+test.fields+"; all other fields are in force", c.condition(resources.ReasonRestartRequired))
		})
	}
}
