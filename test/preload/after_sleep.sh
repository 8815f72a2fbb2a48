#!/bin/bash
# Threads that malloc right after a sleep, during which what they keep may be given back (after_sleep.c), under
# LD_PRELOAD: with looks that follow each other closely, with the usual ones, and with none.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/after_sleep" "$here/after_sleep.c"
for setting in TIDEPOOL_DECAY_MS=40 TIDEPOOL_DECAY_MS=1000 TIDEPOOL_MAINTENANCE=off; do
	export "${setting?}"
	run_preloaded "$setting" "$tmp/after_sleep"
	equal "answer with $setting" "$(cat "$tmp/$setting.out")" ok
	unset "${setting%%=*}"
done
