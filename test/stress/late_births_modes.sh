#!/bin/sh
exec "${SHELL:-/bin/sh}" "${0%/*}/run_modes.sh" late_births "$@"
