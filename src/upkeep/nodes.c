/* upkeep/nodes.c - see nodes.h */
#include "upkeep/nodes.h"

#include <errno.h>
#include <pthread.h>

#include "arena/nodes.h"
#include "base/due.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/birth.h"
#include "machine/topology.h"
#include "os/thread.h"

enum { WAIT_MS = 1000 }; /* a fork may hold what the thread waits for */

_Atomic uint32_t tide_nodes_state;
_Atomic bool tide_nodes_are_wanted_early;

static bool change_state(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tide_nodes_state, &from, to);
}

void tide_nodes_start(char *const *environment)
{
    tide_machine_topology_start(environment);
    if (tide_options.numa == TIDE_NUMA_OFF)
        atomic_store(&tide_nodes_state, TIDE_NODES_SETTLED);
    else
        tide_set_relaxed(&tide_nodes_are_wanted_early, tide_options.numa != TIDE_NUMA_AUTO);
}

void tide_nodes_want(void)
{
    tide_set_relaxed(&tide_nodes_are_wanted_early, false);
    if (tide_relaxed(&tide_nodes_state) == TIDE_NODES_UNKNOWN &&
        change_state(TIDE_NODES_UNKNOWN, TIDE_NODES_DUE))
        tide_make_due();
}

void tide_nodes_note_heap(void)
{
    if (tide_heap_count() > 1)
        tide_nodes_want();
}

static void settle(void)
{
    atomic_store(&tide_nodes_state, TIDE_NODES_SETTLED);
    tide_os_wake(&tide_nodes_state);
}

static void *ask(void *unused)
{
    unsigned nodes = tide_machine_topology_read();

    tide_lock(tide_heap_start_lock());
    tide_arena_use_nodes(nodes, tide_relaxed(&tide_heap_first_cpu));
    tide_unlock(tide_heap_start_lock());
    tide_arena_bind_all();
    settle();
    return unused;
}

static void start_asking(void)
{
    static const struct tide_os_job job = { ask, "tidepool-nodes", (size_t)1 << 20 };
    int saved_errno = errno, cancel_state;
    bool is_started;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    is_started = tide_os_start_thread(&job);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved_errno;
    if (is_started)
        return;
    tide_base_warn("no thread can be started to find out about memory nodes, so they are left "
                   "out of account; TIDEPOOL_NUMA=off says that this is meant");
    settle();
}

void tide_nodes_find_out(void)
{
    if (tide_lock_is_forking() || !tide_heap_is_at_home() ||
        !change_state(TIDE_NODES_DUE, TIDE_NODES_ASKED))
        return;
    if (tide_machine_topology_is_wanted())
        start_asking();
    else
        settle();
}

void tide_nodes_wait(void)
{
    uint64_t end = tide_os_now_ms() + WAIT_MS, now;

    while (tide_relaxed(&tide_nodes_state) == TIDE_NODES_ASKED && (now = tide_os_now_ms()) < end)
        tide_os_wait(&tide_nodes_state, TIDE_NODES_ASKED, end - now);
}

/* The thread is not in the child, where the loader may be as it left it.
 * ThreadSanitizer ends a child of several threads that starts one. */
void tide_nodes_after_fork_in_child(void)
{
    if (TIDE_THREAD_SANITIZER || atomic_load(&tide_nodes_state) == TIDE_NODES_ASKED) {
        tide_set_relaxed(&tide_nodes_are_wanted_early, false);
        atomic_store(&tide_nodes_state, TIDE_NODES_SETTLED);
    }
}
