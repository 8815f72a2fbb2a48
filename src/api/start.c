/* api/start.c - see start.h, and fork: all locks, in the order of base/lock.h */
#include "api/start.h"

#include <pthread.h>
#include <tidepool/malloc.h>

#include "arena/manager.h"
#include "arena/reserve.h"
#include "arena/walk.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/common.h"
#include "heap/depot.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "heap/maintenance.h"
#include "heap/nodes.h"
#include "heap/reclaim.h"
#include "os/map.h"
#include "os/rcu.h"
#include "os/records.h"

/* In order; the heaps' and the arena manager's locks come between the two
 * groups. */
static struct tide_lock *(*const outer[])(void) = {
    tide_maintenance_lock,
    tide_heap_start_lock,
    tide_common_lock,
    tide_heap_orphans_lock,
};
static struct tide_lock *(*const inner[])(void) = {
    tide_huge_lock,
    tide_walk_lock,
    tide_reserve_lock,
    tide_os_records_lock,
    tide_os_kept_lock,
    tide_reclaim_handler_lock,
};

enum { OUTER = sizeof outer / sizeof *outer, INNER = sizeof inner / sizeof *inner };

static void before_fork(void)
{
    tide_nodes_wait();
    tide_reserve_before_fork();
    tide_rcu_before_fork();
    for (int n = 0; n < OUTER; n++)
        tide_lock(outer[n]());
    tide_heap_lock_all();
    tide_depot_lock_all();
    tide_arena_before_fork();
    for (int n = 0; n < INNER; n++)
        tide_lock(inner[n]());
    tide_walk_before_fork();
    tide_lock_begin_fork();
}

static void after_fork(bool in_child)
{
    tide_lock_end_fork();
    if (in_child) {
        tide_heap_after_fork_in_child();
        tide_walk_after_fork_in_child();
    }
    for (int n = INNER; n-- > 0;)
        tide_lock_after_fork(inner[n](), in_child);
    tide_arena_after_fork(in_child);
    tide_depot_unlock_all(in_child);
    tide_heap_unlock_all(in_child);
    for (int n = OUTER; n-- > 0;)
        tide_lock_after_fork(outer[n](), in_child);
    tide_rcu_after_fork(in_child);
}

static void in_parent(void)
{
    after_fork(false);
}

static void in_child(void)
{
    after_fork(true);
}

/* The first constructor of all (the library is linked with -z initfirst): fork
 * runs handlers that prepare in reverse order, so tidepool's, which take every
 * lock, run last, and nobody else's wait for a lock meanwhile.  The C library
 * has no environ yet; constructors are given it. */
void tide_api_start(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    tide_heap_start(environment);
    if (pthread_atfork(before_fork, in_parent, in_child) != 0)
        tide_base_fatal("no memory to register the fork handlers");
}

__attribute__((destructor)) static void end(void)
{
    tide_rcu_end();
    if (tide_options.stats)
        tide_malloc_stats();
}
