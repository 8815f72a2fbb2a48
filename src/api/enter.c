/* api/enter.c - see enter.h */
#include "api/enter.h"

#include <errno.h>
#include <unistd.h>

#include "api/fork.h"
#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "heap/orphans.h"
#include "large/cache.h"
#include "machine/cpu.h"
#include "machine/limits.h"
#include "os/map.h"
#include "os/process.h"
#include "upkeep/thread.h"
#include "upkeep/tidy.h"
#include "upkeep/upkeep.h"

static _Atomic bool is_started;

/* ---- The end of a thread ----------------------------------------------- */

static void leave_heap(struct heap *heap)
{
    bool is_taken = tide_heap_begin(heap) != heap;
    bool is_whole = is_taken || tide_heap_is_to_stay_whole();

    if (!is_whole)
        tide_heap_tidy_all(heap);
    tide_heap_hand_over(heap, is_taken, is_whole);
}

/* A thread may find another's heap in its key: the C library doesn't clear what
 * a thread set past its destructors, and gives the stack with it to a new one. */
static void end_thread(void *heap)
{
    int saved_errno = errno;
    bool is_passing;

    if (heap != tide_heap_own())
        return;
    tide_heap_set_own(NULL);
    is_passing = tide_fork_pass_in();
    leave_heap(heap);
    tide_large_cache_flush_own();
    if (is_passing)
        tide_fork_pass_out();
    if (gettid() == getpid())
        tide_thread_end();
    errno = saved_errno;
}

/* ---- Start ------------------------------------------------------------- */

/* What needs no memory, and is there though nothing else can be started: the
 * shards and locks that calls look at which find that there is no memory. */
static void start_locks(void)
{
    static bool is_done; /* under the start lock */

    if (is_done)
        return;
    is_done = true;
    tide_arena_start(tide_options.shards ? (unsigned)tide_options.shards : tide_machine_cpu_count(),
                     tide_options.arena_lock == TIDE_ARENA_LOCK_GLOBAL);
}

static bool start_layers(char *const *environment)
{
    tide_os_start();
    tide_os_process_start();
    if (tide_os_page_bytes > TIDE_SLOT_BYTES)
        tide_base_fatal("the " TIDE_GEOMETRY_NAME " geometry needs memory pages of at most %zu "
                        "bytes, and this system's have %zu: configure --with-geometry=server",
                        TIDE_SLOT_BYTES, tide_os_page_bytes);
    tide_options_read(environment);
    tide_nodes_start(environment);
    start_locks();
    if (!tide_address_map_start())
        return false;
    if (tide_options.limit_soft || tide_options.limit_hard)
        tide_machine_limits_start(tide_options.limit_soft, tide_options.limit_hard);
    tide_heap_start(end_thread);
    if (tide_options.help)
        tide_options_print();
    return true;
}

bool tide_api_make_ready(char *const *environment)
{
    static bool has_environment; /* under the start lock */

    tide_lock(tide_heap_start_lock());
    if (!tide_relaxed(&is_started)) {
        has_environment = environment != NULL;
        tide_set_release(&is_started, start_layers(environment));
    } else if (environment && !has_environment) {
        has_environment = true;
        tide_options_warn_late(environment);
    }
    tide_unlock(tide_heap_start_lock());
    return tide_relaxed(&is_started);
}

/* ---- A thread's heap --------------------------------------------------- */

static TIDE_NOINLINE bool be_born(void)
{
    if (!tide_acquire(&is_started) && !tide_api_make_ready(environ))
        return false;
    if (!tide_heap_be_born())
        return false;
    tide_upkeep_note_born();
    return true;
}

struct heap *tide_api_enter(void)
{
    return TIDE_UNLIKELY(tide_heap_is_unborn()) && !be_born() ? NULL : tide_heap_enter();
}
