#!/bin/sh
# With a maintenance thread that looks often, and without one.
failed=0
TIDEPOOL_DECAY_MS=20 TIDEPOOL_MAINTENANCE=on "${SHELL:-/bin/sh}" "${0%/*}/run_modes.sh" walkers "$@" || failed=$?
TIDEPOOL_MAINTENANCE=off "${SHELL:-/bin/sh}" "${0%/*}/run_modes.sh" walkers "$@" || failed=$?
exit $failed
