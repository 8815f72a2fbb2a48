/* heap/maintenance.c - see maintenance.h */
#include "heap/maintenance.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "arena/walk.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "os/thread.h"

_Atomic bool tide_maintenance_is_settled;
_Atomic bool tide_maintenance_is_due;
_Atomic uint32_t tide_maintenance_bell;

static struct tide_lock look_lock = TIDE_LOCK_INITIALIZER;
static _Atomic bool is_outwaiting; /* a thread waits for walks to end */

size_t tide_maintenance_look(void)
{
    size_t waiting;

    tide_lock(&look_lock);
    waiting = tide_heap_decay_unowned();
    waiting += tide_huge_decay();
    waiting += tide_arena_decay();
    waiting += tide_walk_reclaim();
    tide_unlock(&look_lock);
    return waiting;
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
    if (tide_walk_waiting() != 0 && !atomic_exchange(&is_outwaiting, true) &&
        !tide_os_start_thread(outwait, "tidepool-rcu"))
        atomic_store(&is_outwaiting, false); /* another try after the next look */
}

static void *maintain(void *unused)
{
    uint64_t pause = tide_options.decay_ms < 2 ? 1 : (uint64_t)tide_options.decay_ms / 2;

    while (atomic_load(&tide_maintenance_bell) != TIDE_BELL_END) {
        if (tide_maintenance_look() == 0)
            sleep_until_woken();
        see_to_walked();
        tide_os_wait(&tide_maintenance_bell, TIDE_BELL_AWAKE, pause);
    }
    return unused;
}

/* Not so in the child of a vfork, which lives in its parent's memory, nor in a
 * thread that is past its destructors. */
static bool is_at_home(void)
{
    struct heap *heap = tide_heap_enter();
    bool is_so = heap && heap->process == getpid();

    if (heap)
        tide_heap_leave(heap);
    return is_so;
}

static void start(void)
{
    if (!tide_os_start_thread(maintain, "tidepool"))
        tide_base_warn("no thread can be started to give idle memory back, so it stays until "
                       "malloc_trim; TIDEPOOL_MAINTENANCE=off says that this is meant");
}

void tide_maintenance_start(void)
{
    int saved_errno = errno, cancel_state;

    if (tide_lock_is_forking() || !is_at_home())
        return;
    tide_set_relaxed(&tide_maintenance_is_due, false);
    if (atomic_exchange(&tide_maintenance_is_settled, true) || !tide_options.maintenance ||
        tide_options.decay_ms < 0)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    start();
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved_errno;
}

void tide_maintenance_wake(void)
{
    if (change_bell(TIDE_BELL_ASLEEP, TIDE_BELL_AWAKE))
        tide_os_wake(&tide_maintenance_bell);
}

void tide_maintenance_end(void)
{
    atomic_store(&tide_maintenance_is_settled, true);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_END);
    tide_os_wake(&tide_maintenance_bell);
}

/* ThreadSanitizer ends a child of several threads that starts one. */
void tide_maintenance_after_fork_in_child(void)
{
    atomic_store(&tide_maintenance_is_settled, TIDE_THREAD_SANITIZER);
    atomic_store(&tide_maintenance_is_due, false);
    atomic_store(&is_outwaiting, false);
    atomic_store(&tide_maintenance_bell, TIDE_BELL_AWAKE);
}
