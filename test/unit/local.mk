# Unit tests, one per source: test/unit/<layer>/test_<file>.c with Criterion.
# To add one, add its name without .c; nothing else is needed.
unit_tests =

if UNIT_TESTS
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif
