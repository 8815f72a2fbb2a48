#!/bin/bash
# A program whose main thread ends first ends with its last own thread (exit_of_main.c), also when that is at the
# moment when tidepool starts its own (exit_at_once.c), under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -O1 -Wall -Wextra -pthread -o "$tmp/exit_of_main" "$here/exit_of_main.c"
run plain "$tmp/exit_of_main"
# A thread that is left over takes no signals but this one.
run_preloaded exit_of_main timeout -s KILL 60 "$tmp/exit_of_main"
equal "answer" "$(cat "$tmp/exit_of_main.out")" goodbye

run compile_at_once "${cc[@]}" -O1 -Wall -Wextra -pthread -o "$tmp/exit_at_once" "$here/exit_at_once.c"
for _ in {1..60}; do
	run_preloaded exit_at_once timeout -s KILL 60 "$tmp/exit_at_once"
	equal "answer when it ends at once" "$(cat "$tmp/exit_at_once.out")" goodbye
done
