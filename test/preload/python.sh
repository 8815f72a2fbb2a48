#!/bin/bash
# python3 with PYTHONMALLOC=malloc (every object from malloc) under the library runs python_work.py: eight
# threads of dicts, lists, json, zlib, sqlite and regular expressions, with forks, subprocesses and
# multiprocessing meanwhile. The digests of the results must equal those of a run without the library.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
python=/usr/bin/python3
[ -x "$python" ] || python=python3
need "$python" python3
"$python" -c 'import sqlite3, zlib, multiprocessing' 2>/dev/null || skip "python3 lacks sqlite3, zlib or multiprocessing (Debian package: libpython3-stdlib)"
need_override

export PYTHONMALLOC=malloc PYTHONHASHSEED=1
check() {
	run_preloaded python "$python" "$here/python_work.py" "$TIDE_LIB"
	same_file "digests" "$tmp/python.out" "$tmp/plain.out"
}

run plain "$python" "$here/python_work.py"
equal "number of digests" "$(grep -c . "$tmp/plain.out")" 47
in_both_lock_modes check
