/* heap/maintenance.c - see maintenance.h */
#include "heap/maintenance.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "arena/retired.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/fork.h"
#include "heap/heap.h"
#include "store/purge.h"
#include "heap/idle.h"
#include "heap/remote.h"
#include "os/barrier.h"
#include "os/pressure.h"
#include "os/thread.h"
#include "store/purge.h"

_Atomic uint32_t tide_maintenance_state;
_Atomic uint32_t tide_maintenance_bell;

static struct tide_lock look_lock = TIDE_LOCK_INITIALIZER;
static _Atomic bool is_refused;    /* no thread can do it all, so mallocs do its work */
static _Atomic bool is_outwaiting; /* a thread of its own waits for walks to end */

/* Two looks in the time that free memory waits. */
static uint64_t pause_ms(void)
{
    return tide_options.decay_ms < 2 ? 1 : (uint64_t)tide_options.decay_ms / 2;
}

/* ---- Looking: under look_lock ------------------------------------------ */

/* Without a thread: parts of a look. */
enum {
    INLINE_ARENAS = 16,
    PART_MS = 5, /* between them */
};

size_t tide_maintenance_look(void)
{
    size_t left, in_arenas;

    tide_lock(&look_lock);
    left = tide_heap_empty_depot(true);
    left += tide_idle_look();
    left += tide_store_decay();
    while (!tide_arena_decay(UINT_MAX, true, &in_arenas))
        ;
    left += in_arenas + tide_retired_reclaim();
    tide_unlock(&look_lock);
    return left;
}

/* A part of a look.  Whether it was the last. */
static bool look_on(void)
{
    static enum { DEPOT, HEAPS, STORE, ARENAS } part;
    size_t waiting;

    switch (part) {
    case DEPOT:
        tide_heap_empty_depot(true);
        break;
    case HEAPS:
        if (tide_idle_look_on())
            return false;
        break;
    case STORE:
        tide_store_decay();
        break;
    case ARENAS:
        if (!tide_arena_decay(INLINE_ARENAS, false, &waiting))
            return false;
        part = DEPOT;
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

    if (now < tide_relaxed(&next) || !tide_lock_try(&look_lock))
        return;
    tide_set_relaxed(&next, now + (look_on() ? pause_ms() : PART_MS));
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
    tide_retired_outwait();
    atomic_store(&is_outwaiting, false);
    return unused;
}

/* A walk may take long, and what is idle is to go meanwhile: so a thread of its
 * own waits, and ends then. */
static void see_to_walked(void)
{
    static const struct tide_os_job job = { outwait, "tidepool-rcu", (size_t)256 << 10 };

    if (tide_retired_count() != 0 && !atomic_exchange(&is_outwaiting, true) &&
        !tide_os_start_thread(&job))
        atomic_store(&is_outwaiting, false); /* another try after the next look */
}

/* ---- The thread -------------------------------------------------------- */

enum { MOST_END_MS = 2000 }; /* that its end is waited for */

static _Atomic pid_t maintainer; /* its number; 0: none */

/* Where membarrier is refused only owners can tidy their heaps. */
static void leave_to_owners(void)
{
    tide_set_relaxed(&is_refused, true);
    atomic_store(&tide_maintenance_state, TIDE_MAINTENANCE_DUE);
}

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
        if (!tide_os_has_barrier())
            leave_to_owners();
        if (is_watching)
            is_short = rest_and_watch(pause, is_short);
        else
            tide_os_wait(&tide_maintenance_bell, TIDE_BELL_AWAKE, pause);
    }
    return unused;
}


static bool change_state(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tide_maintenance_state, &from, to);
}

static void start(void)
{
    static const struct tide_os_job job = { maintain, "tidepool", (size_t)256 << 10 };
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (!tide_os_start_thread(&job)) {
        tide_set_relaxed(&is_refused, true);
        change_state(TIDE_MAINTENANCE_RUNNING, TIDE_MAINTENANCE_DUE);
    }
    pthread_setcancelstate(cancel_state, NULL);
}

/* Whether a thread is to do the work. */
static bool is_for_thread(void)
{
    static const unsigned least_heaps[] = {
        [TIDE_MAINTENANCE_AUTO] = 2,
        [TIDE_MAINTENANCE_OFF] = UINT_MAX,
        [TIDE_MAINTENANCE_ON] = 1,
    };

    return tide_heap_count() >= least_heaps[tide_options.maintenance] &&
           tide_maintenance_mapped() >= TIDE_MAINTAINED_BYTES && !tide_relaxed(&is_refused);
}

void tide_maintenance_become_due(void)
{
    if (change_state(TIDE_MAINTENANCE_NONE, tide_options.decay_ms < 0 ? TIDE_MAINTENANCE_SETTLED
                                                                      : TIDE_MAINTENANCE_DUE))
        tide_make_due();
}

enum { TICKS = 16 };

void tide_maintenance_tick_slow(void)
{
    static _Atomic unsigned ticks;

    tide_count(&ticks, 1);
    if (tide_relaxed(&ticks) % TICKS == 0)
        tide_make_due();
}

bool tide_maintenance_check(void)
{
    int saved_errno = errno;

    if (tide_relaxed(&tide_maintenance_state) != TIDE_MAINTENANCE_DUE)
        return false;
    if (tide_lock_is_forking())
        return true;
    if (!is_for_thread()) {
        if (tide_heap_own()) /* others wait at no gate of a fork here */
            look_inline();
    } else if (tide_heap_is_at_home() &&
               change_state(TIDE_MAINTENANCE_DUE, TIDE_MAINTENANCE_RUNNING)) {
        start();
    }
    errno = saved_errno;
    return false;
}

/* ---- All at once ------------------------------------------------------- */

/* What this thread has of others' goes home first, and what is in the depot may
 * be this thread's. */
static size_t purge(size_t keep, bool is_only_moved)
{
    size_t returned, idle;

    tide_lock(&look_lock);
    returned = tide_idle_give_back_own();
    tide_heap_empty_depot(false);
    returned += tide_idle_give_back_all(is_only_moved);
    returned += tide_arena_trim(keep);
    idle = tide_relaxed(&tide_arena_idle_slots) << TIDE_SLOT_SHIFT;
    returned += tide_store_purge(keep > idle ? keep - idle : 0, SIZE_MAX);
    tide_unlock(&look_lock);
    return returned;
}

size_t tide_maintenance_purge(size_t keep, bool is_only_moved)
{
    size_t returned;
    bool is_passing;

    tide_fork_check();
    is_passing = tide_fork_pass_in();
    returned = purge(keep, is_only_moved);
    if (is_passing)
        tide_fork_pass_out();
    return returned;
}

void tide_maintenance_unmap(void)
{
    bool is_passing = tide_fork_pass_in();

    tide_lock(&look_lock);
    tide_store_purge(0, SIZE_MAX);
    tide_store_unmap();
    tide_unlock(&look_lock);
    if (is_passing)
        tide_fork_pass_out();
}

const char *tide_maintenance_name(void)
{
    switch (tide_relaxed(&tide_maintenance_state)) {
    case TIDE_MAINTENANCE_NONE:
        return "nobody, as there is little memory";
    case TIDE_MAINTENANCE_DUE:
        return tide_relaxed(&is_refused)
                   ? "calls of malloc and free, as a thread, or membarrier, was refused"
                                         : "calls of malloc and free";
    case TIDE_MAINTENANCE_RUNNING:
        return "a thread";
    default:
        return "nobody";
    }
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

    atomic_store(&tide_maintenance_state, TIDE_MAINTENANCE_SETTLED);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_END);
    thread = atomic_load(&maintainer);
    tide_os_wake(&tide_maintenance_bell);
    for (int ms = 0; thread && ms < MOST_END_MS && tgkill(getpid(), thread, 0) == 0; ms++)
        tide_os_wait(&tide_maintenance_bell, TIDE_BELL_END, 1);
}

/* ThreadSanitizer ends a child of several threads that starts one. */
void tide_maintenance_after_fork_in_child(void)
{
    atomic_store(&tide_maintenance_state, TIDE_MAINTENANCE_NONE);
    tide_set_relaxed(&is_refused, TIDE_THREAD_SANITIZER);
    atomic_store(&is_outwaiting, false);
    atomic_store(&maintainer, 0);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_AWAKE);
}
