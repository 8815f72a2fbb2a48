# The harness that make bench and make bench-quick run; see bench/README.md.
check_PROGRAMS += \
	bench/harness/launch \
	bench/harness/pingpong
bench_harness_launch_SOURCES = bench/harness/launch.c
bench_harness_launch_LDADD =
bench_harness_pingpong_SOURCES = bench/harness/pingpong.c
bench_harness_pingpong_LDADD =

EXTRA_DIST += \
	bench/README.md \
	bench/bench \
	bench/harness/__init__.py \
	bench/harness/allocators.py \
	bench/harness/analysis.py \
	bench/harness/compare.py \
	bench/harness/counts.py \
	bench/harness/digest.py \
	bench/harness/figures.py \
	bench/harness/machine.py \
	bench/harness/main.py \
	bench/harness/matrix.py \
	bench/harness/model.py \
	bench/harness/page.py \
	bench/harness/places.py \
	bench/harness/plots.py \
	bench/harness/programs.py \
	bench/harness/progress.py \
	bench/harness/records.py \
	bench/harness/replaying.py \
	bench/harness/report.py \
	bench/harness/sections.py \
	bench/harness/states.py \
	bench/harness/store.py \
	bench/harness/tests/__init__.py \
	bench/harness/tests/test_allocators.py \
	bench/harness/tests/test_analysis.py \
	bench/harness/tests/test_costs.py \
	bench/harness/tests/test_counts.py \
	bench/harness/tests/test_digest.py \
	bench/harness/tests/test_figures.py \
	bench/harness/tests/test_lone.py \
	bench/harness/tests/test_main.py \
	bench/harness/tests/test_matrix.py \
	bench/harness/tests/test_plots.py \
	bench/harness/tests/test_programs.py \
	bench/harness/tests/test_settled.py

dist_check_SCRIPTS += test/tools/test_bench_harness.sh
TESTS += test/tools/test_bench_harness.sh

# BENCH_ARGUMENTS: more arguments of bench/bench.
bench: libtidepool.la $(check_PROGRAMS) $(check_LTLIBRARIES)
	TIDE_BUILDDIR='$(abs_top_builddir)' $(srcdir)/bench/bench run $(BENCH_ARGUMENTS)

bench-quick: libtidepool.la $(check_PROGRAMS) $(check_LTLIBRARIES)
	TIDE_BUILDDIR='$(abs_top_builddir)' $(srcdir)/bench/bench quick $(BENCH_ARGUMENTS)

.PHONY: bench bench-quick
