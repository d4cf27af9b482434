// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestCPUProfile_HasTheTimeOfItsEnd: a profile from before a ceiling is saved after it, and its file must not say that it is from then.
func TestCPUProfile_HasTheTimeOfItsEnd(t *testing.T) {
	e, _, dir := taking(t, &asked{handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "profile") }})
	ended := make(chan struct{}, 1)
	e.wake = func() { ended <- struct{}{} }

	c := &capture{taker: e, ctx: t.Context(), config: config.Default()}
	c.config.Evidence.Profile.Duration = time.Second

	start := boottime.Now()
	p := startProfile(c)
	<-ended

	require.NoError(t, p.err)
	assert.GreaterOrEqual(t, p.end, start)
	assert.LessOrEqual(t, p.end, boottime.Now())

	folder, err := e.create(targetID, c.config.Evidence)
	require.NoError(t, err)

	p.end -= time.Minute // as if it were saved a minute after it
	require.NoError(t, p.save(folder))
	saved(t, dir, profileBefore, "profile")

	info, err := os.Stat(filepath.Join(folder.Dir, profileBefore))
	require.NoError(t, err)
	assert.WithinDuration(t, boottime.Wall(p.end), info.ModTime(), time.Second)
}
