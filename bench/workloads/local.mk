# The workloads of the bench, built by make check and make bench.
#
# They link nothing of ours: the allocator comes by LD_PRELOAD.  cores tells the
# machine's cores by hwloc; without it (Debian: libhwloc-dev) nothing is pinned.
check_PROGRAMS += bench/workloads/workload
bench_workloads_workload_SOURCES = \
	bench/workloads/common.c \
	bench/workloads/common.h \
	bench/workloads/churn.c \
	bench/workloads/churn.h \
	bench/workloads/cliffs.c \
	bench/workloads/contention.c \
	bench/workloads/exchange.c \
	bench/workloads/footprint.c \
	bench/workloads/forks.c \
	bench/workloads/held.c \
	bench/workloads/held.h \
	bench/workloads/histogram.c \
	bench/workloads/histogram.h \
	bench/workloads/latency.c \
	bench/workloads/micro.c \
	bench/workloads/output.c \
	bench/workloads/output.h \
	bench/workloads/pin.c \
	bench/workloads/pin.h \
	bench/workloads/queue.c \
	bench/workloads/queue.h \
	bench/workloads/return.c \
	bench/workloads/sampler.c \
	bench/workloads/sampler.h \
	bench/workloads/server.c \
	bench/workloads/stages.c \
	bench/workloads/table.h \
	bench/workloads/ticks.h \
	bench/workloads/workload.c
bench_workloads_workload_LDADD = -ldl -lm

# Of one thread: nothing that creates one may be linked (a test asks).
check_PROGRAMS += bench/workloads/lone
bench_workloads_lone_SOURCES = \
	bench/workloads/churn.c \
	bench/workloads/churn.h \
	bench/workloads/common.c \
	bench/workloads/common.h \
	bench/workloads/held.h \
	bench/workloads/histogram.c \
	bench/workloads/histogram.h \
	bench/workloads/lone.c \
	bench/workloads/lone.h \
	bench/workloads/pages.c \
	bench/workloads/pages.h \
	bench/workloads/prefork.c \
	bench/workloads/sampler.h \
	bench/workloads/ticks.h
bench_workloads_lone_LDADD = -lm

EXTRA_DIST += bench/workloads/cores.c
if HAVE_HWLOC
check_PROGRAMS += bench/workloads/cores
bench_workloads_cores_SOURCES = bench/workloads/cores.c
bench_workloads_cores_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS)
bench_workloads_cores_LDADD = $(HWLOC_LIBS)
endif

# An allocator that is slow on purpose: the bench must show it so.  A module in
# the build tree, never installed.
check_LTLIBRARIES += bench/workloads/libtidepool-slowed.la
bench_workloads_libtidepool_slowed_la_SOURCES = bench/workloads/slowed.c
bench_workloads_libtidepool_slowed_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
bench_workloads_libtidepool_slowed_la_LDFLAGS = \
	$(TIDE_LDFLAGS) -module -shared -avoid-version -rpath /nowhere
bench_workloads_libtidepool_slowed_la_LIBADD = -ldl
