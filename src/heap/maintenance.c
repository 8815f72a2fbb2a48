/* heap/maintenance.c - see maintenance.h */
#include "heap/maintenance.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "arena/walk.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "heap/idle.h"
#include "os/pressure.h"
#include "os/thread.h"

_Atomic bool tide_maintenance_is_settled;
_Atomic bool tide_maintenance_is_due;
_Atomic uint32_t tide_maintenance_bell;

static struct tide_lock look_lock = TIDE_LOCK_INITIALIZER;
static _Atomic bool is_outwaiting; /* a thread of its own waits for walks to end */

/* Two looks in the time that free memory waits. */
static uint64_t pause_ms(void)
{
    return tide_options.decay_ms < 2 ? 1 : (uint64_t)tide_options.decay_ms / 2;
}

/* ---- Looking: under look_lock ------------------------------------------ */

enum {
    INLINE_ARENAS = 8, /* for a part of a look */
    INLINE_HEAPS = 16, /* parts of a look that are for heaps, or for slices of one */
};

static const struct tide_effort effort = { .idle = 128, .busy = 8, .slices = UINT_MAX };

size_t tide_maintenance_look(void)
{
    size_t left, in_arenas;

    tide_lock(&look_lock);
    left = tide_heap_decay_unowned();
    left += tide_idle_look(effort);
    left += tide_huge_decay();
    while (!tide_arena_decay(UINT_MAX, &in_arenas))
        ;
    left += in_arenas + tide_walk_reclaim();
    tide_unlock(&look_lock);
    return left;
}

/* A slice of one heap.  Whether there may be more to do. */
static bool look_at_heap(void)
{
    static unsigned parts; /* of this look, so far */
    struct tide_effort a_slice = { .idle = 1, .busy = 1, .slices = 1, .is_same = parts > 0 };
    bool is_more = tide_idle_look(a_slice) > 0 && ++parts < INLINE_HEAPS;

    if (!is_more)
        parts = 0;
    return is_more;
}

/* A part of a look.  Whether it was the last. */
static bool look_on(void)
{
    static enum { UNOWNED, IDLE, HUGE, ARENAS } part;
    size_t waiting;

    switch (part) {
    case UNOWNED:
        tide_heap_decay_unowned();
        break;
    case IDLE:
        if (look_at_heap())
            return false;
        break;
    case HUGE:
        tide_huge_decay();
        break;
    case ARENAS:
        if (!tide_arena_decay(INLINE_ARENAS, &waiting))
            return false;
        part = UNOWNED;
        return true;
    }
    part++;
    return false;
}

/* Without a thread of its own: now and then, by one that allocates. */
static void look_inline(void)
{
    static _Atomic uint64_t next; /* written under look_lock: ms */
    uint64_t now = tide_os_now_ms();

    if (now < tide_relaxed(&next) || !tide_heap_is_at_home() || !tide_lock_try(&look_lock))
        return;
    tide_set_relaxed(&next, now + (look_on() ? pause_ms() : 1));
    tide_unlock(&look_lock);
}

struct tide_lock *tide_maintenance_lock(void)
{
    return &look_lock;
}

static bool change_bell(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tide_maintenance_bell, &from, to);
}

/* What is freed before it is known to sleep doesn't wake it, so it looks once
 * more then. */
static void sleep_until_woken(void)
{
    if (!change_bell(TIDE_BELL_AWAKE, TIDE_BELL_ASLEEP))
        return;
    if (tide_maintenance_look() == 0)
        tide_os_wait(&tide_maintenance_bell, TIDE_BELL_ASLEEP, TIDE_OS_FOREVER);
    change_bell(TIDE_BELL_ASLEEP, TIDE_BELL_AWAKE);
}

/* ---- Pressure ---------------------------------------------------------- */

enum {
    SHORT_MS = 250,  /* between looks while memory is short */
    WATCH_MS = 1000, /* the longest that nobody sees that it is */
};

static struct tide_cgroup group; /* the thread only */
static bool has_group;           /* likewise */

/* Whether the thread is to watch pressure; not if it looks as often anyway, nor
 * where its files would be the program's. */
static bool begin_watch(uint64_t pause)
{
    if (!tide_os_leave_files() || !tide_options.pressure || pause <= SHORT_MS)
        return false;
    has_group = tide_os_cgroup_find(&group, "memory");
    return true;
}

/* Waits until the next look is due.  Whether that is because memory is short. */
static bool rest_and_watch(uint64_t pause, bool was_short)
{
    uint64_t step = was_short ? SHORT_MS : WATCH_MS;

    do {
        step = step < pause ? step : pause;
        tide_os_wait(&tide_maintenance_bell, TIDE_BELL_AWAKE, step);
        if (tide_os_pressure_is_high(has_group ? &group : NULL))
            return true;
        pause -= step;
    } while (pause > 0 && atomic_load(&tide_maintenance_bell) == TIDE_BELL_AWAKE);
    return false;
}

/* ---- Walks ------------------------------------------------------------- */

static void *outwait(void *unused)
{
    tide_walk_outwait();
    atomic_store(&is_outwaiting, false);
    return unused;
}

/* A walk may take long, and what is idle is to go meanwhile: so a thread of its
 * own waits, and ends then. */
static void see_to_walked(void)
{
    static const struct tide_os_job job = { outwait, "tidepool-rcu", (size_t)256 << 10 };

    if (tide_walk_waiting() != 0 && !atomic_exchange(&is_outwaiting, true) &&
        !tide_os_start_thread(&job))
        atomic_store(&is_outwaiting, false); /* another try after the next look */
}

/* ---- The thread -------------------------------------------------------- */

enum { MOST_END_MS = 2000 }; /* that its end is waited for */

static _Atomic pid_t maintainer; /* its number; 0: none */

static void *maintain(void *unused)
{
    uint64_t pause = pause_ms();
    bool is_watching, is_short = false;

    atomic_store(&maintainer, gettid()); /* then the bell is read: see tide_maintenance_end */
    if (atomic_load(&tide_maintenance_bell) == TIDE_BELL_END)
        return unused;
    is_watching = begin_watch(pause);
    while (atomic_load(&tide_maintenance_bell) != TIDE_BELL_END) {
        if (is_short) /* nothing waits for a next look */
            tide_maintenance_purge(0, true);
        if (is_short || tide_maintenance_look() == 0)
            sleep_until_woken();
        see_to_walked();
        if (is_watching)
            is_short = rest_and_watch(pause, is_short);
        else
            tide_os_wait(&tide_maintenance_bell, TIDE_BELL_AWAKE, pause);
    }
    return unused;
}

static void start(void)
{
    static const struct tide_os_job job = { maintain, "tidepool", (size_t)256 << 10 };

    if (!tide_os_start_thread(&job))
        tide_base_warn("no thread can be started to give idle memory back, so it stays until "
                       "malloc_trim; TIDEPOOL_MAINTENANCE=off says that this is meant");
}

static void start_once(void)
{
    int cancel_state;

    tide_set_relaxed(&tide_maintenance_is_due, false);
    if (atomic_exchange(&tide_maintenance_is_settled, true) || tide_options.decay_ms < 0)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    start();
    pthread_setcancelstate(cancel_state, NULL);
}

/* Without a thread of its own it is due for good. */
bool tide_maintenance_check(void)
{
    bool is_inline = !tide_options.maintenance && tide_options.decay_ms >= 0;
    int saved_errno = errno;

    if (!tide_relaxed(&tide_maintenance_is_due))
        return false;
    if (is_inline && !tide_lock_is_forking())
        look_inline();
    else if (!is_inline && !tide_lock_is_forking() && tide_heap_is_at_home())
        start_once();
    errno = saved_errno;
    return tide_relaxed(&tide_maintenance_is_due);
}

/* ---- All at once ------------------------------------------------------- */

static size_t give_back_own(void)
{
    struct heap *heap = tide_heap_enter();
    size_t returned = 0;

    if (heap) {
        returned = tide_idle_give_back(heap);
        tide_heap_leave(heap);
    }
    return returned;
}

/* What this thread has of others' goes home first, and what is in the depot may
 * be this thread's. */
size_t tide_maintenance_purge(size_t keep, bool is_only_moved)
{
    size_t returned, cached;

    tide_lock(&look_lock);
    returned = give_back_own();
    tide_heap_give_back_unowned();
    returned += tide_idle_give_back_all(is_only_moved) + give_back_own();
    cached = tide_huge_totals().cached_bytes;
    returned += tide_huge_trim(keep);
    returned += tide_arena_trim(keep > cached ? keep - cached : 0);
    tide_unlock(&look_lock);
    return returned;
}

/* ---- Waking, ending ---------------------------------------------------- */

void tide_maintenance_wake(void)
{
    if (change_bell(TIDE_BELL_ASLEEP, TIDE_BELL_AWAKE))
        tide_os_wake(&tide_maintenance_bell);
}

/* The last thread of a program runs what it gave to atexit, which must not be this
 * one, as it has none of the program's files: it is waited for.  If it has just
 * been started, and isn't seen here, it sees that this is the end before it gives
 * up its files. */
void tide_maintenance_end(void)
{
    pid_t thread;

    atomic_store(&tide_maintenance_is_settled, true);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_END);
    thread = atomic_load(&maintainer);
    tide_os_wake(&tide_maintenance_bell);
    for (int ms = 0; thread && ms < MOST_END_MS && tgkill(getpid(), thread, 0) == 0; ms++)
        tide_os_wait(&tide_maintenance_bell, TIDE_BELL_END, 1);
}

/* ThreadSanitizer ends a child of several threads that starts one. */
void tide_maintenance_after_fork_in_child(void)
{
    atomic_store(&tide_maintenance_is_settled, TIDE_THREAD_SANITIZER);
    atomic_store(&tide_maintenance_is_due, false);
    atomic_store(&is_outwaiting, false);
    atomic_store(&maintainer, 0);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_AWAKE);
}
