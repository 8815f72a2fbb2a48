# Real servers and programs under each malloc.  A runner is a script; what it
# runs and what they share go with it.
server_runners = \
	bench/servers/cxx.py \
	bench/servers/lone.py \
	bench/servers/memcached.py \
	bench/servers/nginx.py \
	bench/servers/perl.py \
	bench/servers/python.py \
	bench/servers/redis.py \
	bench/servers/redis_return.py \
	bench/servers/redis_save.py \
	bench/servers/sqlite.py \
	bench/servers/startup.py

EXTRA_DIST += $(server_runners) \
	bench/servers/common.py \
	bench/servers/nginx_load.lua \
	bench/servers/work_perl.pl \
	bench/servers/work_python.py \
	bench/servers/work_sqlite.py

check_PROGRAMS += bench/servers/memcached_load
bench_servers_memcached_load_SOURCES = bench/servers/memcached_load.c
bench_servers_memcached_load_CFLAGS = $(AM_CFLAGS) -pthread
bench_servers_memcached_load_LDADD =

dist_check_SCRIPTS += test/tools/test_server_benches.sh
TESTS += test/tools/test_server_benches.sh
