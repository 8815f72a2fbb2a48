#!/bin/sh
# ThreadSanitizer would have no handler call malloc, also where it interrupts nothing.
TSAN_OPTIONS="report_signal_unsafe=0 ${TSAN_OPTIONS-}" \
    exec "${SHELL:-/bin/sh}" "${0%/*}/run_modes.sh" signal_storm "$@"
