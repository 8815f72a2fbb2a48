# Built by make check and make bench.
check_PROGRAMS += bench/micro/fast_path
bench_micro_fast_path_SOURCES = bench/micro/fast_path.c
bench_micro_fast_path_LDADD =
dist_check_SCRIPTS += bench/micro/count_fast_path.sh

include bench/workloads/local.mk
include bench/servers/local.mk
include bench/trace/local.mk
include bench/harness/local.mk

# make demo: servers with and without tidepool, side by side.
EXTRA_DIST += bench/servers/demo.sh

demo: libtidepool.la
	LIB='$(abs_top_builddir)/.libs/libtidepool.so' $(srcdir)/bench/servers/demo.sh

.PHONY: demo
