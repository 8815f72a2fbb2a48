# Stress tests: plain programs with a main, many threads and the allocator's
# own check at the end; they also run under ThreadSanitizer.  Each is run in
# every mode by run_modes.sh, through a script of its own that is the test.
#
# By hand, with more work (see each program's first lines):
#   test/stress/model 100000000
#   test/stress/thread_churn 1000 100
#   test/stress/fork_storm 1000 16
stress_common = test/stress/common.c test/stress/common.h
stress_programs =

stress_programs += test/stress/exhaustion
test_stress_exhaustion_SOURCES = test/stress/exhaustion.c $(stress_common)
test_stress_exhaustion_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/fork_storm
test_stress_fork_storm_SOURCES = test/stress/fork_storm.c $(stress_common)
test_stress_fork_storm_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/hand_around
test_stress_hand_around_SOURCES = test/stress/hand_around.c $(stress_common)
test_stress_hand_around_LDADD = $(TIDE_CORE_LIBS)

# test/preload/late_births.c, with the tide_ names
stress_programs += test/stress/late_births
test_stress_late_births_SOURCES = test/preload/late_births.c test/preload/blocks.h
test_stress_late_births_CPPFLAGS = $(AM_CPPFLAGS) -DTIDE_NAMES
test_stress_late_births_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/late_free
test_stress_late_free_SOURCES = test/stress/late_free.c $(stress_common)
test_stress_late_free_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/limits
test_stress_limits_SOURCES = test/stress/limits.c $(stress_common)
test_stress_limits_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/lost_heaps
test_stress_lost_heaps_SOURCES = test/stress/lost_heaps.c $(stress_common)
test_stress_lost_heaps_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/mmap_failure
test_stress_mmap_failure_SOURCES = test/stress/mmap_failure.c $(stress_common)
test_stress_mmap_failure_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/model
test_stress_model_SOURCES = test/stress/model.c test/stress/stamps.h $(stress_common)
test_stress_model_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/owns
test_stress_owns_SOURCES = test/stress/owns.c $(stress_common)
test_stress_owns_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/producer_consumer
test_stress_producer_consumer_SOURCES = test/stress/producer_consumer.c $(stress_common)
test_stress_producer_consumer_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/remote_free
test_stress_remote_free_SOURCES = test/stress/remote_free.c $(stress_common)
test_stress_remote_free_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/signals
test_stress_signals_SOURCES = test/stress/signals.c $(stress_common)
test_stress_signals_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/signal_storm
test_stress_signal_storm_SOURCES = test/stress/signal_storm.c $(stress_common)
test_stress_signal_storm_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/taken
test_stress_taken_SOURCES = test/stress/taken.c $(stress_common)
test_stress_taken_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/thread_churn
test_stress_thread_churn_SOURCES = test/stress/thread_churn.c $(stress_common)
test_stress_thread_churn_LDADD = $(TIDE_CORE_LIBS)

stress_programs += test/stress/walkers
test_stress_walkers_SOURCES = test/stress/walkers.c $(stress_common)
test_stress_walkers_LDADD = $(TIDE_CORE_LIBS)

stress_scripts = \
	test/stress/exhaustion_modes.sh \
	test/stress/fork_storm_modes.sh \
	test/stress/hand_around_modes.sh \
	test/stress/late_births_modes.sh \
	test/stress/late_free_modes.sh \
	test/stress/limits_modes.sh \
	test/stress/lost_heaps_modes.sh \
	test/stress/mmap_failure_modes.sh \
	test/stress/model_modes.sh \
	test/stress/nodes_modes.sh \
	test/stress/owns_modes.sh \
	test/stress/producer_consumer_modes.sh \
	test/stress/remote_free_modes.sh \
	test/stress/signal_storm_modes.sh \
	test/stress/signals_modes.sh \
	test/stress/taken_modes.sh \
	test/stress/thread_churn_modes.sh \
	test/stress/walkers_modes.sh

check_PROGRAMS += $(stress_programs)
EXTRA_DIST += test/stress/run_modes.sh
dist_check_SCRIPTS += $(stress_scripts)
TESTS += $(stress_scripts)
