// SPDX-License-Identifier: MPL-2.0

package persist

import "go.uber.org/zap"

// Messages are those of the log about saving.
type Messages struct {
	// Removed: saving failed, and there is no file any more. Stale: the file of before is left.
	Removed, Stale string
	// Again: saving succeeded after it had failed.
	Again string
}

// SaveLog logs what SaveOrRemove returns: a failure once until it has another effect or saving succeeds. The zero SaveLog is ready for use.
type SaveLog struct {
	// failure is the newest message about a save that failed; empty after one that succeeded.
	failure string
}

// Add takes the result of a save.
func (l *SaveLog) Add(logger *zap.Logger, messages Messages, stale bool, err error) {
	failure := ""

	switch {
	case stale:
		failure = messages.Stale
	case err != nil:
		failure = messages.Removed
	}

	switch failure {
	case l.failure:
	case "":
		logger.Info(messages.Again)
	default:
		logger.Error(failure, zap.Error(err))
	}

	l.failure = failure
}
