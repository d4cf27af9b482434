// SPDX-License-Identifier: MPL-2.0

package main

import (
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestNewLogger_WritesNoOtherLines: net/http gives what a target sends unasked to the standard logger.
func TestNewLogger_WritesNoOtherLines(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)

	stderr, global, output, flags := os.Stderr, zap.L(), log.Writer(), log.Flags()
	t.Cleanup(func() {
		os.Stderr = stderr

		zap.ReplaceGlobals(global)
		log.SetOutput(output)
		log.SetFlags(flags)
	})

	os.Stderr = write
	logger := newLogger()

	log.Print("Unsolicited response received on idle HTTP channel")
	logger.Info("sampling started")
	logger.Sync()
	require.NoError(t, write.Close())

	written, err := io.ReadAll(read)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(written), "\n"))
	assert.Contains(t, string(written), `"msg":"sampling started"`)
}
