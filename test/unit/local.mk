# Unit tests with Criterion, test/unit/<layer>/test_<file>.c for each source; of
# a large one in parts, test_<file>_<part>.c.
# To add one, add its name without .c; nothing else is needed.
unit_tests = \
	test/unit/base/test_bits \
	test/unit/base/test_fatal \
	test/unit/base/test_lock \
	test/unit/base/test_options \
	test/unit/os/test_barrier \
	test/unit/os/test_huge_pages \
	test/unit/os/test_kernel \
	test/unit/os/test_limits \
	test/unit/os/test_map \
	test/unit/os/test_process \
	test/unit/os/test_rcu \
	test/unit/os/test_records \
	test/unit/os/test_thread \
	test/unit/machine/test_cgroup \
	test/unit/machine/test_cpu \
	test/unit/machine/test_limits \
	test/unit/machine/test_pressure \
	test/unit/machine/test_shortage \
	test/unit/machine/test_topology \
	test/unit/store/test_store \
	test/unit/arena/test_address_map \
	test/unit/arena/test_arena \
	test/unit/arena/test_huge_pages \
	test/unit/arena/test_manager \
	test/unit/arena/test_nodes \
	test/unit/arena/test_reserve \
	test/unit/arena/test_shard \
	test/unit/arena/test_upkeep \
	test/unit/arena/test_walk \
	test/unit/pool/test_hollow \
	test/unit/pool/test_pool \
	test/unit/pool/test_returned \
	test/unit/pool/test_size_class \
	test/unit/large/test_cache \
	test/unit/large/test_large \
	test/unit/large/test_large_freed \
	test/unit/large/test_large_resize \
	test/unit/exchange/test_depot \
	test/unit/heap/test_common \
	test/unit/heap/test_heap \
	test/unit/heap/test_home \
	test/unit/heap/test_lists \
	test/unit/heap/test_orphans \
	test/unit/heap/test_refill \
	test/unit/heap/test_remote \
	test/unit/upkeep/test_idle \
	test/unit/upkeep/test_idle_pages \
	test/unit/upkeep/test_idle_taken \
	test/unit/upkeep/test_nodes \
	test/unit/upkeep/test_reclaim \
	test/unit/upkeep/test_thread \
	test/unit/upkeep/test_tidy \
	test/unit/observe/test_stats \
	test/unit/check/test_inspect \
	test/unit/api/test_aligned \
	test/unit/api/test_fork \
	test/unit/api/test_fork_copies \
	test/unit/api/test_glibc \
	test/unit/api/test_malloc \
	test/unit/api/test_mallopt \
	test/unit/api/test_purge \
	test/unit/api/test_resize \
	test/unit/api/test_slow \
	test/unit/api/test_start

if OVERRIDE
unit_tests += test/unit/api/test_operators
endif

noinst_HEADERS += \
	test/unit/unit.h \
	test/unit/auxv.h \
	test/unit/copies.h \
	test/unit/heap/sleepers.h \
	test/unit/machine/trees.h \
	test/unit/nodes.h \
	test/unit/os/smaps.h \
	test/unit/arena/arenas.h \
	test/unit/pool/pools.h \
	test/unit/heap/heaps.h \
	test/unit/heap/remotes.h \
	test/unit/large/large_blocks.h \
	test/unit/api/forks.h

if UNIT_TESTS
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif
