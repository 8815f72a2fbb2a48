# Real programs under the library, checked for right answers (common.sh says how).
#
# From test/local.mk's AM_TESTS_ENVIRONMENT they take TIDE_LIB, TIDE_OVERRIDE, CC and CXX. By hand:
#   LIB=.../libtidepool.so test/preload/redis.sh
# Two more are found from those and need be set only when they lie elsewhere:
#   TIDE_STATIC_LIB  libtidepool.a     [beside TIDE_LIB]
#   TIDE_INCLUDE     public headers    [include/ of the source]
# The scripts ask for bash and call it themselves when $(SHELL) is another shell.
PRELOAD_TESTS = \
	test/preload/symbols.sh \
	test/preload/linked.sh \
	test/preload/dlopen.sh \
	test/preload/static.sh \
	test/preload/libc_names.sh \
	test/preload/exit_of_main.sh \
	test/preload/forks.sh \
	test/preload/fork_mutex.sh \
	test/preload/raw_forks.sh \
	test/preload/handlers.sh \
	test/preload/tracer.sh \
	test/preload/late_births.sh \
	test/preload/seccomp.sh \
	test/preload/seccomp_sched.sh \
	test/preload/vfork_storm.sh \
	test/preload/after_sleep.sh \
	test/preload/fork_stdio.sh \
	test/preload/user_namespace.sh \
	test/preload/capabilities.sh \
	test/preload/late_frees.sh \
	test/preload/large_blocks.sh \
	test/preload/limits.sh \
	test/preload/mlock.sh \
	test/preload/new_fails.sh \
	test/preload/plugin.sh \
	test/preload/compile.sh \
	test/preload/git.sh \
	test/preload/memcached.sh \
	test/preload/nginx.sh \
	test/preload/perl.sh \
	test/preload/python.sh \
	test/preload/redis.sh \
	test/preload/sqlite.sh

TESTS += $(PRELOAD_TESTS)
EXTRA_DIST += $(PRELOAD_TESTS) \
	test/preload/after_sleep.c \
	test/preload/atfork_early.c \
	test/preload/blocks.h \
	test/preload/common.sh \
	test/preload/dlopen_threads.c \
	test/preload/exit_at_once.c \
	test/preload/exit_of_main.c \
	test/preload/fork_in_handler.c \
	test/preload/fork_mutex.c \
	test/preload/fork_mutex_library.c \
	test/preload/fork_stdio.c \
	test/preload/forks.c \
	test/preload/handler_sleeps.c \
	test/preload/large_blocks.c \
	test/preload/late_births.c \
	test/preload/late_frees.cc \
	test/preload/libc_names.c \
	test/preload/limits.c \
	test/preload/linked_program.c \
	test/preload/memcached_client.py \
	test/preload/mlock.c \
	test/preload/new_fails.cc \
	test/preload/plugin.c \
	test/preload/plugin_new_fails.cc \
	test/preload/privileges.c \
	test/preload/python_work.py \
	test/preload/raw_forks.c \
	test/preload/seccomp.c \
	test/preload/static_threads.c \
	test/preload/templates.cc \
	test/preload/tracer.c \
	test/preload/vfork_storm.c \
	test/preload/whose_malloc.cc
