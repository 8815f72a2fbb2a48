/* upkeep/thread.c - see thread.h */
#include "upkeep/thread.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "arena/retired.h"
#include "base/due.h"
#include "base/options.h"
#include "heap/heap.h"
#include "machine/pressure.h"
#include "os/barrier.h"
#include "os/thread.h"
#include "upkeep/look.h"

static _Atomic bool is_refused;    /* no thread can do it all, so mallocs do its work */
static _Atomic bool is_outwaiting; /* a thread of its own waits for walks to end */

static bool change_state(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tide_upkeep_state, &from, to);
}

/* What is freed before it is known to sleep doesn't wake it, so it looks once
 * more then. */
static void sleep_until_woken(void)
{
    if (!tide_bell_change(TIDE_BELL_AWAKE, TIDE_BELL_ASLEEP))
        return;
    if (tide_upkeep_look() == 0)
        tide_os_wait(&tide_bell, TIDE_BELL_ASLEEP, TIDE_OS_FOREVER);
    tide_bell_change(TIDE_BELL_ASLEEP, TIDE_BELL_AWAKE);
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
    has_group = tide_machine_cgroup_find(&group, "memory");
    return true;
}

/* Waits until the next look is due.  Whether that is because memory is short. */
static bool rest_and_watch(uint64_t pause, bool was_short)
{
    uint64_t step = was_short ? SHORT_MS : WATCH_MS;

    do {
        step = step < pause ? step : pause;
        tide_os_wait(&tide_bell, TIDE_BELL_AWAKE, step);
        if (tide_machine_pressure_is_high(has_group ? &group : NULL))
            return true;
        pause -= step;
    } while (pause > 0 && atomic_load(&tide_bell) == TIDE_BELL_AWAKE);
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
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_DUE);
}

static void *maintain(void *unused)
{
    uint64_t pause = tide_upkeep_pause_ms();
    bool is_watching, is_short = false;

    atomic_store(&maintainer, gettid()); /* then the bell is read: see tide_thread_end */
    if (atomic_load(&tide_bell) == TIDE_BELL_END)
        return unused;
    is_watching = begin_watch(pause);
    while (atomic_load(&tide_bell) != TIDE_BELL_END) {
        if (is_short) /* nothing waits for a next look */
            tide_upkeep_purge(0, true);
        if (is_short || tide_upkeep_look() == 0)
            sleep_until_woken();
        see_to_walked();
        if (!tide_os_has_barrier())
            leave_to_owners();
        if (is_watching)
            is_short = rest_and_watch(pause, is_short);
        else
            tide_os_wait(&tide_bell, TIDE_BELL_AWAKE, pause);
    }
    return unused;
}

void tide_thread_start(void)
{
    static const struct tide_os_job job = { maintain, "tidepool", (size_t)256 << 10 };
    int cancel_state;

    if (!change_state(TIDE_UPKEEP_DUE, TIDE_UPKEEP_RUNNING))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (!tide_os_start_thread(&job)) {
        tide_set_relaxed(&is_refused, true);
        change_state(TIDE_UPKEEP_RUNNING, TIDE_UPKEEP_DUE);
    }
    pthread_setcancelstate(cancel_state, NULL);
}

bool tide_thread_is_wanted(void)
{
    static const unsigned least_heaps[] = {
        [TIDE_MAINTENANCE_AUTO] = 2,
        [TIDE_MAINTENANCE_OFF] = UINT_MAX,
        [TIDE_MAINTENANCE_ON] = 1,
    };

    return tide_heap_count() >= least_heaps[tide_options.maintenance] &&
           tide_upkeep_mapped() >= TIDE_MAINTAINED_BYTES && !tide_relaxed(&is_refused);
}

/* ---- In words, and its end ---------------------------------------------- */

const char *tide_upkeep_name(void)
{
    switch (tide_relaxed(&tide_upkeep_state)) {
    case TIDE_UPKEEP_NONE:
        return "nobody, as there is little memory";
    case TIDE_UPKEEP_DUE:
        return tide_relaxed(&is_refused)
                   ? "calls of malloc and free, as a thread, or membarrier, was refused"
                   : "calls of malloc and free";
    case TIDE_UPKEEP_RUNNING:
        return "a thread";
    default:
        return "nobody";
    }
}

/* The last thread of a program runs what it gave to atexit, which must not be this
 * one, as it has none of the program's files: it is waited for.  If it has just
 * been started, and isn't seen here, it sees that this is the end before it gives
 * up its files. */
void tide_thread_end(void)
{
    pid_t thread;

    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED);
    atomic_store(&tide_bell, TIDE_BELL_END);
    thread = atomic_load(&maintainer);
    tide_os_wake(&tide_bell);
    for (int ms = 0; thread && ms < MOST_END_MS && tgkill(getpid(), thread, 0) == 0; ms++)
        tide_os_wait(&tide_bell, TIDE_BELL_END, 1);
}

/* ThreadSanitizer ends a child of several threads that starts one. */
void tide_thread_after_fork_in_child(void)
{
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_NONE);
    tide_set_relaxed(&is_refused, TIDE_THREAD_SANITIZER);
    atomic_store(&is_outwaiting, false);
    atomic_store(&maintainer, 0);
    atomic_store(&tide_bell, TIDE_BELL_AWAKE);
}
