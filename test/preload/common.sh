# Shared by every test in this folder; sourced, never run.
#
# A test runs a real program under LD_PRELOAD of the library and checks the program's answers.
# It promises: its own temporary directory ($tmp), servers on unix sockets inside it, nothing left
# behind however it ends, and exit 77 with a reason when something it needs is missing.
# It never asserts a time: the limits here only turn a hang into a failure.
#
# Environment (local.mk says who sets it):
#   TIDE_LIB         absolute path of libtidepool.so     (or LIB, for a run by hand)
#   TIDE_STATIC_LIB  absolute path of libtidepool.a
#   TIDE_STATIC_DEPS what a static link needs besides; default: what libtidepool.la says
#   TIDE_INCLUDE     directory that holds tidepool/malloc.h
#   TIDE_OVERRIDE    0 when the library was built without malloc & co: nothing to preload
#   CC, CXX          compilers, with their flags
#   KEEP             not empty: leave the temporary directory, to look into after a failure
# shellcheck shell=bash

set -u -o pipefail
set +o posix    # when run as sh
export LC_ALL=C
unset LD_PRELOAD

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TIDE_LIB=${TIDE_LIB:-${LIB:-${abs_top_builddir:-$PWD}/.libs/libtidepool.so}}
TIDE_STATIC_LIB=${TIDE_STATIC_LIB:-${TIDE_LIB%.so*}.a}
TIDE_INCLUDE=${TIDE_INCLUDE:-$here/../../include}
# shellcheck disable=SC2034  # used by the tests
read -ra cc <<<"${CC:-gcc}"
# shellcheck disable=SC2034
read -ra cxx <<<"${CXX:-g++}"
hang_seconds=120
started=()          # process ids to end at exit, oldest first
arena_lock=         # "" or "global": what preloaded programs get as TIDEPOOL_ARENA_LOCK

# ---- outcome ----------------------------------------------------------------------------------

skip() { echo "skipped: $*"; exit 77; }

fail() {
	echo "FAILED: $*${arena_lock:+ (arena_lock=$arena_lock)}"
	exit 1
}

# fail_with FILE WORDS...: the same, showing the end of a file.
fail_with() {
	local file=$1
	shift
	echo "---- last lines of ${file##*/}"
	tail -n 25 "$file" 2>/dev/null
	echo "----"
	fail "$@"
}

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || skip "$1 not found (Debian package: $2)"; }

# equal WHAT ACTUAL EXPECTED
equal() { [ "$2" = "$3" ] || fail "$1 is '$2', expected '$3'"; }

# same_file WHAT ACTUAL EXPECTED
same_file() {
	cmp -s "$2" "$3" && return
	diff -a "$3" "$2" | head -n 20
	fail "$1: ${2##*/} (actual) and ${3##*/} (expected) differ"
}

# ---- set-up and clean-up ----------------------------------------------------------------------

end_started() {
	local i pid
	for ((i = ${#started[@]} - 1; i >= 0; i--)); do
		pid=${started[i]}
		kill "$pid" 2>/dev/null || continue
		wait_until 5 ended "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	started=()
}

clean_up() {
	trap '' INT TERM HUP
	end_started
	[ -n "${KEEP:-}" ] || rm -rf "$tmp"
}

make_temporary_directory() {
	local parent=${TMPDIR:-/tmp}
	[ ${#parent} -le 60 ] || parent=/tmp    # a unix socket's path has at most 107 bytes
	tmp=$(mktemp -d "$parent/tidepool-test.XXXXXX") || exit 99
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

need_library() {
	[ -e "$TIDE_LIB" ] || fail "no library at $TIDE_LIB"
	TIDE_LIB=$(readlink -f "$TIDE_LIB")
	# Not grep -q, which may end before ldd has written all.
	ldd "$TIDE_LIB" 2>/dev/null | grep -E 'lib[at]san' >/dev/null &&
		skip "a library built with a sanitizer cannot be preloaded into programs built without"
	return 0
}

need_override() {
	[ "${TIDE_OVERRIDE:-1}" != 0 ] || skip "the library was built without malloc & co (--disable-override)"
	need_library
	preloaded cat /proc/self/maps >"$tmp/maps" 2>"$tmp/maps.err" || fail_with "$tmp/maps.err" "cat under the library"
	quiet "$tmp/maps.err"
	grep -qF "$TIDE_LIB" "$tmp/maps" || fail "LD_PRELOAD has no effect: $TIDE_LIB is not in /proc/self/maps"
}

# ---- running ----------------------------------------------------------------------------------

# preloaded COMMAND...: the command under the library; only the command, not this shell.
preloaded() { env LD_PRELOAD="$TIDE_LIB" ${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$@"; }

# quiet FILE: stderr must hold no warning of the library's or of ld.so about it.
quiet() {
	grep -qE '^tidepool:|cannot be preloaded' "$1" && fail_with "$1" "a warning on stderr"
	return 0
}

# run NAME COMMAND...: output in $tmp/NAME.out and .err; must end with 0, without warnings, and not hang.
# Runs in the background so that the clean-up trap is never kept waiting.
run() {
	local name=$1 pid status=0
	shift
	timeout -k 5 "$hang_seconds" "$@" <&0 >"$tmp/$name.out" 2>"$tmp/$name.err" &
	pid=$!
	started+=("$pid")
	wait "$pid" || status=$?
	unset 'started[-1]'
	[ "$status" != 124 ] || fail_with "$tmp/$name.err" "$name hangs: no end after $hang_seconds s"
	[ "$status" = 0 ] || fail_with "$tmp/$name.err" "$name ended with status $status"
	quiet "$tmp/$name.err"
}

# run_preloaded NAME COMMAND...
run_preloaded() {
	local name=$1
	shift
	run "$name" env LD_PRELOAD="$TIDE_LIB" ${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$@"
}

# start NAME COMMAND...: a server in the background; its process id in $server.
start() {
	local name=$1
	shift
	"$@" </dev/null >"$tmp/$name.out" 2>"$tmp/$name.err" &
	server=$!
	started+=("$server")
}

# start_preloaded NAME COMMAND...
start_preloaded() {
	local name=$1
	shift
	start "$name" env LD_PRELOAD="$TIDE_LIB" ${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$@"
}

ended() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

# wait_until SECONDS COMMAND...: polls the command until it succeeds.
wait_until() {
	local polls=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		((polls-- > 0)) || return 1
		sleep 0.05
	done
}

# finished PROCESS NAME: the server was told to end; it must, with status 0 and without warnings.
finished() {
	local status=0
	wait_until 30 ended "$1" || fail_with "$tmp/$2.err" "$2 does not end"
	wait "$1" || status=$?
	[ "$status" = 0 ] || fail_with "$tmp/$2.err" "$2 ended with status $status"
	quiet "$tmp/$2.err"
}

# has_library PROCESS: the process has the library mapped.
has_library() { grep -qF "$TIDE_LIB" "/proc/$1/maps"; }

# in_both_lock_modes FUNCTION: per-arena locks, then one lock for all.
in_both_lock_modes() {
	arena_lock=
	"$1"
	arena_lock=global
	"$1"
	arena_lock=
}

# ---- static linking ---------------------------------------------------------------------------

# static_dependencies: what libtidepool.la says a static link needs besides.
static_dependencies() {
	[ -z "${TIDE_STATIC_DEPS+set}" ] || { echo "$TIDE_STATIC_DEPS"; return; }
	sed -n "s/^dependency_libs='\(.*\)'/\1/p" "$(dirname "$TIDE_STATIC_LIB")/../libtidepool.la" 2>/dev/null
}

# link_statically PROGRAM COMPILER...: a static program, $tmp/PROGRAM, with the library's archive taken whole
# (so that libc's malloc has nothing left to define); checks that libc's malloc is not in it.
link_statically() {
	local name=$1
	local -a dependencies
	shift
	[ -e "$TIDE_STATIC_LIB" ] || skip "no static library $TIDE_STATIC_LIB (built with --disable-static)"
	read -ra dependencies <<<"$(static_dependencies)"
	run "link.$name" "$@" -static -o "$tmp/$name" \
		-Wl,--whole-archive "$TIDE_STATIC_LIB" -Wl,--no-whole-archive "${dependencies[@]}" -pthread
	nm "$tmp/$name" >"$tmp/$name.symbols" || fail "nm $name"
	grep -q ' T tide_malloc$' "$tmp/$name.symbols" || fail "$name is linked without the library"
	! grep -q ' _int_malloc$' "$tmp/$name.symbols" || fail "$name contains libc's malloc"
}

make_temporary_directory
