# Recording a program's allocation calls, and replaying them (README of bench/).

# Never installed by itself; -rpath makes libtool build the shared library.
check_LTLIBRARIES += bench/trace/libtidepool-record.la
bench_trace_libtidepool_record_la_SOURCES = \
	bench/trace/record.c \
	bench/trace/trace.c \
	bench/trace/trace.h \
	bench/trace/writer.c \
	bench/trace/writer.h
bench_trace_libtidepool_record_la_CFLAGS = $(AM_CFLAGS) $(TIDE_LIB_CFLAGS)
bench_trace_libtidepool_record_la_LDFLAGS = $(TIDE_LDFLAGS) $(TIDE_LIB_LDFLAGS) \
	-module -avoid-version -shared -rpath $(abs_top_builddir)/bench/trace

replay_plan_sources = \
	bench/trace/blocks.c \
	bench/trace/blocks.h \
	bench/trace/merge.c \
	bench/trace/merge.h \
	bench/trace/plan.c \
	bench/trace/plan.h \
	bench/trace/trace.c \
	bench/trace/trace.h

check_PROGRAMS += bench/trace/replay
bench_trace_replay_SOURCES = $(replay_plan_sources) \
	bench/trace/replay.c \
	bench/trace/run.c \
	bench/trace/run.h
# Per-program flags: the same sources are in the library, where they are PIC.
bench_trace_replay_CFLAGS = $(AM_CFLAGS)
bench_trace_replay_LDADD =

EXTRA_DIST += bench/replay

# ---- Tests -------------------------------------------------------------------

check_PROGRAMS += test/tools/replay_program test/tools/test_replay_damage
test_tools_replay_program_SOURCES = test/tools/replay_program.c
test_tools_replay_program_LDADD =
test_tools_test_replay_damage_SOURCES = $(replay_plan_sources) \
	test/tools/test_replay_damage.c
test_tools_test_replay_damage_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/bench/trace
test_tools_test_replay_damage_LDADD =

dist_check_SCRIPTS += test/tools/test_replay.sh
TESTS += test/tools/test_replay.sh test/tools/test_replay_damage
EXTRA_DIST += test/tools/replay_check.py test/tools/replay_load.py
