#!/bin/bash
# git under the library: init, many commits (one process each, and a fast-import), branches and merges, diff,
# blame, grep, gc, a threaded repack, clone and a strict fsck. Object names are digests of everything that went
# in, so equal names and logs with a run without the library mean that every byte was right.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need git git
need_override

export HOME=$tmp GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=author GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=committer GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_CEILING_DIRECTORIES

# history: a fast-import stream of 400 commits over 60 files.
history() {
	local i line
	for ((i = 1; i <= 400; i++)); do
		printf 'commit refs/heads/imported\ncommitter c <c@example.org> %d +0000\ndata <<E\nimported %d\nE\n' "$((1500000000 + i))" "$i"
		printf 'M 644 inline dir%d/file%d\ndata <<E\n' "$((i % 7))" "$((i % 60))"
		for ((line = 0; line < i % 90 + 10; line++)); do echo "line $line of $((i * line % 13)) in commit $((i / 60))"; done
		printf 'E\n\n'
	done
}

work() {
	local i
	g init -q -b main
	history | g fast-import --quiet
	g checkout -q -b main imported
	for ((i = 1; i <= 25; i++)); do
		echo "change $i" >>"dir$((i % 7))/file$((i % 7))"
		echo "$i" >"new$i"
		g add -A
		g commit -q -m "commit $i"
	done
	g checkout -q -b side HEAD~10
	seq 1 5000 >side
	g add side
	g commit -q -m side
	g checkout -q main
	g merge -q -m merged side
	g gc -q --aggressive
	g -c pack.threads=4 repack -adfq --depth=30 --window=20
	g fsck --full --strict --no-progress
	g clone -q --no-local . ../"$1.clone"
	g -C ../"$1.clone" fsck --full --no-progress
	g -C ../"$1.clone" rev-parse HEAD
	g log --all --stat -p --no-ext-diff | sha256sum
	g log --oneline | wc -l
	g count-objects -v | grep -E '^(in-pack|packs|count|garbage):'
	g blame -s dir3/file3 | sha256sum
	g grep -c 'line 5' -- dir1
	g diff --stat HEAD~20 HEAD | tail -n 1
	g rev-parse HEAD 'HEAD^{tree}'
	g status --porcelain
}

# session NAME: the work in a fresh repository; answers in $tmp/NAME.answers.
session() {
	mkdir "$tmp/$1"
	(cd "$tmp/$1" && set -e && work "$1") >"$tmp/$1.answers" 2>"$tmp/$1.err" || fail_with "$tmp/$1.err" "git ($1)"
	quiet "$tmp/$1.err"
}

g() { git "$@"; }
session plain
[ "$(wc -l <"$tmp/plain.answers")" -gt 12 ] || fail_with "$tmp/plain.answers" "git gives no answers"
g() { preloaded git "$@"; }
session preloaded
same_file "answers of git" "$tmp/preloaded.answers" "$tmp/plain.answers"
