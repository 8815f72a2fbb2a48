# Recording a program's allocation calls, and replaying them (README of bench/).

# Never installed by itself; -rpath makes libtool build the shared library.
check_LTLIBRARIES += bench/replay/libtidepool-record.la
bench_replay_libtidepool_record_la_SOURCES = \
	bench/replay/record.c \
	bench/replay/trace.c \
	bench/replay/trace.h \
	bench/replay/writer.c \
	bench/replay/writer.h
bench_replay_libtidepool_record_la_CFLAGS = $(AM_CFLAGS) $(TIDE_LIB_CFLAGS)
bench_replay_libtidepool_record_la_LDFLAGS = $(TIDE_LDFLAGS) $(TIDE_LIB_LDFLAGS) \
	-module -avoid-version -shared -rpath $(abs_top_builddir)/bench/replay

replay_plan_sources = \
	bench/replay/blocks.c \
	bench/replay/blocks.h \
	bench/replay/merge.c \
	bench/replay/merge.h \
	bench/replay/plan.c \
	bench/replay/plan.h \
	bench/replay/trace.c \
	bench/replay/trace.h

check_PROGRAMS += bench/replay/replay
bench_replay_replay_SOURCES = $(replay_plan_sources) \
	bench/replay/replay.c \
	bench/replay/run.c \
	bench/replay/run.h
# Per-program flags: the same sources are in the library, where they are PIC.
bench_replay_replay_CFLAGS = $(AM_CFLAGS)
bench_replay_replay_LDADD =

dist_check_SCRIPTS += bench/replay/replay.py

# ---- Tests -------------------------------------------------------------------

check_PROGRAMS += test/tools/replay_program test/tools/test_replay_damage
test_tools_replay_program_SOURCES = test/tools/replay_program.c
test_tools_replay_program_LDADD =
test_tools_test_replay_damage_SOURCES = $(replay_plan_sources) \
	test/tools/test_replay_damage.c
test_tools_test_replay_damage_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/bench/replay
test_tools_test_replay_damage_LDADD =

dist_check_SCRIPTS += test/tools/test_replay.sh
TESTS += test/tools/test_replay.sh test/tools/test_replay_damage
EXTRA_DIST += test/tools/replay_check.py test/tools/replay_load.py
