# ---- Public headers ---------------------------------------------------------

tideincludedir = $(includedir)/tidepool
tideinclude_HEADERS = \
	include/tidepool/malloc.h

# ---- All objects, for libtidepool and for the tests -------------------------

noinst_LTLIBRARIES += libtidepool-core.la
libtidepool_core_la_CPPFLAGS = $(AM_CPPFLAGS) -DTIDE_PLUGIN_DIR='"$(pkglibdir)"'
libtidepool_core_la_CFLAGS = $(AM_CFLAGS) $(TIDE_LIB_CFLAGS)
libtidepool_core_la_SOURCES = \
	src/base/atomic.h \
	src/base/bits.h \
	src/base/due.c \
	src/base/due.h \
	src/base/fatal.c \
	src/base/fatal.h \
	src/base/geometry.h \
	src/base/lock.c \
	src/base/lock.h \
	src/base/options.c \
	src/base/options.h \
	src/base/options_table.h \
	src/os/barrier.c \
	src/os/barrier.h \
	src/os/huge_pages.c \
	src/os/huge_pages.h \
	src/os/kernel.c \
	src/os/kernel.h \
	src/os/limits.c \
	src/os/limits.h \
	src/os/map.c \
	src/os/map.h \
	src/os/process.c \
	src/os/process.h \
	src/os/rcu.c \
	src/os/rcu.h \
	src/os/records.c \
	src/os/records.h \
	src/os/thread.c \
	src/os/thread.h \
	src/machine/cgroup.c \
	src/machine/cgroup.h \
	src/machine/cpu.c \
	src/machine/cpu.h \
	src/machine/hwloc_plugin.h \
	src/machine/limits.c \
	src/machine/limits.h \
	src/machine/pressure.c \
	src/machine/pressure.h \
	src/machine/shortage.c \
	src/machine/shortage.h \
	src/machine/topology.c \
	src/machine/topology.h \
	src/store/counts.c \
	src/store/counts.h \
	src/store/grow.c \
	src/store/grow.h \
	src/store/page_map.c \
	src/store/page_map.h \
	src/store/purge.c \
	src/store/purge.h \
	src/store/range.h \
	src/store/ranges.c \
	src/store/ranges.h \
	src/store/store.c \
	src/store/store.h \
	src/store/take.c \
	src/store/take.h \
	src/store/tree.c \
	src/store/tree.h \
	src/arena/address_map.c \
	src/arena/address_map.h \
	src/arena/arena.c \
	src/arena/arena.h \
	src/arena/huge_pages.c \
	src/arena/huge_pages.h \
	src/arena/layout.h \
	src/arena/manager.c \
	src/arena/manager.h \
	src/arena/nodes.c \
	src/arena/nodes.h \
	src/arena/reserve.c \
	src/arena/reserve.h \
	src/arena/retired.c \
	src/arena/retired.h \
	src/arena/shard.c \
	src/arena/shard.h \
	src/arena/upkeep.c \
	src/arena/walk.c \
	src/arena/walk.h \
	src/pool/counts.h \
	src/pool/guess.c \
	src/pool/guess.h \
	src/pool/hollow.c \
	src/pool/hollow.h \
	src/pool/pages.h \
	src/pool/pool.c \
	src/pool/pool.h \
	src/pool/returned.c \
	src/pool/returned.h \
	src/pool/size_class.c \
	src/pool/size_class.h \
	src/large/cache.c \
	src/large/cache.h \
	src/large/large.c \
	src/large/large.h \
	src/exchange/depot.c \
	src/exchange/depot.h \
	src/heap/birth.c \
	src/heap/birth.h \
	src/heap/check.c \
	src/heap/check.h \
	src/heap/child.c \
	src/heap/child.h \
	src/heap/common.c \
	src/heap/common.h \
	src/heap/fast.h \
	src/heap/heap.c \
	src/heap/heap.h \
	src/heap/home.c \
	src/heap/home.h \
	src/heap/lists.c \
	src/heap/lists.h \
	src/heap/orphans.c \
	src/heap/orphans.h \
	src/heap/pools.c \
	src/heap/pools.h \
	src/heap/refill.c \
	src/heap/refill.h \
	src/heap/remote.c \
	src/heap/remote.h \
	src/heap/slow.c \
	src/heap/slow.h \
	src/upkeep/bound.c \
	src/upkeep/bound.h \
	src/upkeep/idle.c \
	src/upkeep/idle.h \
	src/upkeep/look.c \
	src/upkeep/look.h \
	src/upkeep/nodes.c \
	src/upkeep/nodes.h \
	src/upkeep/reclaim.c \
	src/upkeep/reclaim.h \
	src/upkeep/thread.c \
	src/upkeep/thread.h \
	src/upkeep/tidy.c \
	src/upkeep/tidy.h \
	src/upkeep/upkeep.c \
	src/upkeep/upkeep.h \
	src/observe/stats.c \
	src/observe/stats.h \
	src/check/inspect.c \
	src/check/inspect.h \
	src/check/invariants.c \
	src/check/invariants.h \
	src/api/aligned.c \
	src/api/enter.c \
	src/api/enter.h \
	src/api/fast.h \
	src/api/fork.c \
	src/api/fork.h \
	src/api/glibc.c \
	src/api/libstdcxx.c \
	src/api/libstdcxx.h \
	src/api/malloc.c \
	src/api/mallopt.c \
	src/api/operators.c \
	src/api/override.h \
	src/api/resize.c \
	src/api/slow.c \
	src/api/slow.h \
	src/api/start.c \
	src/api/start.h

# ---- libtidepool.so and libtidepool.a ---------------------------------------

lib_LTLIBRARIES += libtidepool.la
# Not of the core: libtool compiles it with PIC defined for the shared library
# and without for the static one, which must not have it.
libtidepool_la_SOURCES = src/api/nothrow.c
libtidepool_la_CFLAGS = $(AM_CFLAGS) $(TIDE_LIB_CFLAGS)
libtidepool_la_LIBADD = libtidepool-core.la
libtidepool_la_LDFLAGS = $(TIDE_LDFLAGS) $(TIDE_LIB_LDFLAGS) \
	-version-info $(TIDE_VERSION_INFO) \
	-Wl,--version-script=$(srcdir)/tidepool.map \
	-Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,-z,initfirst
EXTRA_libtidepool_la_DEPENDENCIES = tidepool.map

# ---- libtidepool-hwloc.so, opened on machines with several memory nodes ------

if HWLOC
pkglib_LTLIBRARIES += libtidepool-hwloc.la
endif
libtidepool_hwloc_la_SOURCES = src/machine/hwloc_plugin.c src/machine/hwloc_plugin.h
libtidepool_hwloc_la_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) -fvisibility=hidden
libtidepool_hwloc_la_LIBADD = $(HWLOC_LIBS)
libtidepool_hwloc_la_LDFLAGS = $(TIDE_LDFLAGS) $(TIDE_LIB_LDFLAGS) -module -avoid-version -shared

EXTRA_DIST += src/README.md
