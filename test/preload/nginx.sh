#!/bin/bash
# nginx (a master and two workers) under the library serves files of many sizes to concurrent curls, plain,
# compressed and through a proxy to itself; every body is compared byte for byte. It then reloads its
# configuration gracefully while downloads run, and quits gracefully.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
PATH=$PATH:/usr/sbin
need nginx nginx-light
need curl curl
need_override

mkdir "$tmp/www" "$tmp/got"
sizes=(0 1 100 4095 4096 70000 1048577 20000000)
for size in "${sizes[@]}"; do
	# text that compresses, and differs from offset to offset
	seq 1 "$((size / 2 + 1))" 2>/dev/null | tr '\n' ' ' | head -c "$size" >"$tmp/www/$size.txt" || true
	equal "size of the test file" "$(stat -c %s "$tmp/www/$size.txt")" "$size"
done

user=
[ "$(id -u)" != 0 ] || user="user root root;"    # workers must read the temporary directory
cat >"$tmp/nginx.conf" <<END
$user
daemon off;
worker_processes 2;
pid $tmp/nginx.pid;
error_log $tmp/error.log info;
events { worker_connections 256; }
http {
	types { text/plain txt; }
	access_log $tmp/access.log;
	client_body_temp_path $tmp/client_body;
	proxy_temp_path $tmp/proxy;
	fastcgi_temp_path $tmp/fastcgi;
	uwsgi_temp_path $tmp/uwsgi;
	scgi_temp_path $tmp/scgi;
	server {
		listen unix:$tmp/socket;
		root $tmp/www;
		location /zip/ { alias $tmp/www/; gzip on; gzip_types text/plain; gzip_min_length 1; }
		location /proxy/ { proxy_pass http://unix:$tmp/socket:/; proxy_buffers 64 16k; }
		location /generation { return 200 "one\n"; }
	}
}
END

fetch() { curl -sS --max-time 60 --unix-socket "$tmp/socket" "$@"; }
answers() { [ "$(fetch http://localhost/generation)" = "$1" ]; }
workers() { sort -n "/proc/$server/task/$server/children" | xargs; }

# client NUMBER: every file three ways, all checked; status 0 when all bodies are right.
client() {
	local size way
	for size in "${sizes[@]}"; do
		for way in "" zip/ proxy/; do
			fetch --compressed -f -o "$tmp/got/$1" "http://localhost/$way$size.txt" || { echo "curl failed on /$way$size.txt"; return 1; }
			cmp "$tmp/got/$1" "$tmp/www/$size.txt" || { echo "/$way$size.txt is wrong"; return 1; }
		done
	done
	for ((i = 0; i < 10; i++)); do
		[ "$(fetch -o /dev/null -w '%{http_code}' "http://localhost/none$i")" = 404 ] || { echo "no 404"; return 1; }
	done
}

start_clients() {
	clients=()
	local i
	for i in 1 2 3 4 5 6; do
		client "$i" >"$tmp/client$i" 2>&1 &
		clients+=($!)
		started+=($!)
	done
}

check_clients() {
	local i
	for i in "${!clients[@]}"; do
		wait "${clients[i]}" || fail_with "$tmp/client$((i + 1))" "a client got a wrong answer"
	done
	started=("$server")
}

start_preloaded nginx nginx -p "$tmp" -e "$tmp/error.log" -c "$tmp/nginx.conf"
wait_until 30 answers one || fail_with "$tmp/nginx.err" "nginx does not answer"
before=$(workers)
equal "number of workers" "$(wc -w <<<"$before")" 2
for process in $server $before; do
	has_library "$process" || fail "nginx process $process runs without the library"
done
fetch --compressed -D "$tmp/headers" -o /dev/null http://localhost/zip/70000.txt
grep -qi '^content-encoding: gzip' "$tmp/headers" || fail_with "$tmp/headers" "the answer is not compressed"
start_clients
check_clients

start_clients
sed -i 's/"one/"two/' "$tmp/nginx.conf"
kill -HUP "$server"
wait_until 30 answers two || fail_with "$tmp/error.log" "nginx does not reload"
check_clients
for process in $before; do
	wait_until 60 ended "$process" || fail "worker $process survives the reload"
done
equal "number of workers after the reload" "$(workers | wc -w)" 2
start_clients
check_clients

kill -QUIT "$server"
finished "$server" nginx
started=()
grep -E '\[(alert|emerg|crit)\]|exited on signal' "$tmp/error.log" && fail_with "$tmp/error.log" "nginx reports trouble"
requests=$(grep -c ' 200 ' "$tmp/access.log")
[ "$requests" -ge 432 ] || fail "nginx logged only $requests answers"
