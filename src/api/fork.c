/* api/fork.c - see fork.h; the order of the locks is that of base/lock.h */
#include "api/fork.h"

#include <sys/single_threaded.h>

#include "arena/manager.h"
#include "arena/reserve.h"
#include "arena/retired.h"
#include "base/lock.h"
#include "exchange/depot.h"
#include "heap/child.h"
#include "heap/common.h"
#include "heap/orphans.h"
#include "os/rcu.h"
#include "os/records.h"
#include "os/thread.h"
#include "store/purge.h"
#include "store/store.h"
#include "upkeep/idle.h"
#include "upkeep/reclaim.h"
#include "upkeep/thread.h"
#include "upkeep/upkeep.h"

/* The C library's lock of its list of streams; missing in others. */
void _IO_list_lock(void) __attribute__((weak));
void _IO_list_unlock(void) __attribute__((weak));
void _IO_list_resetlock(void) __attribute__((weak));

/* ---- Whether this thread is alone --------------------------------------- */

static _Atomic unsigned passing;   /* threads between pass_in and pass_out */
static _Atomic uint32_t is_closed; /* a thread forks that believes itself alone */
static TIDE_TLS bool is_passing;

/* The forking thread's. */
static TIDE_TLS bool was_alone;    /* it has closed the gate, or is about to */
static TIDE_TLS bool has_passed;   /* it has no heap, and is counted */
static TIDE_TLS bool has_streams;  /* it holds stdio's lock */
static TIDE_TLS uint8_t nested;    /* forks of handlers that interrupted a lone one */

/* Sequentially consistent with close_passage: either the one that forks sees this
 * thread, or this one sees that it waits. */
bool tide_fork_pass_in_slow(void)
{
    if (tide_heap_own() || is_passing || was_alone)
        return false;
    is_passing = true;
    atomic_fetch_add(&passing, 1);
    while (atomic_load(&is_closed))
        tide_os_wait(&is_closed, 1, 1);
    return true;
}

void tide_fork_pass_out(void)
{
    atomic_fetch_sub(&passing, 1);
    is_passing = false;
}

/* Nobody else has a heap, or is about to use what threads share, walks, or is
 * tidepool's.  One heap is this thread's, which a signal may have found before it had
 * it.  Who has passed is counted by then: so those that pass are asked for first. */
static bool is_alone(void)
{
    bool is_passed = atomic_load(&passing) == is_passing;
    unsigned heaps = tide_heap_count();

    return is_passed && (heaps == 0 || (heaps == 1 && (tide_heap_own() || is_passing))) &&
           tide_os_own_threads() == 0 && tide_retired_count() == 0;
}

/* Two may fork at a time, and whoever has closed it opens it. */
static bool close_passage(void)
{
    uint32_t open = 0;

    if (!atomic_compare_exchange_strong(&is_closed, &open, 1))
        return false;
    if (is_alone())
        return true;
    atomic_store(&is_closed, 0);
    return false;
}

/* ---- Locks -------------------------------------------------------------- */

/* In order; the depots' and the arena manager's locks come between the two groups. */
static struct tide_lock *(*const outer[])(void) = {
    tide_upkeep_lock,
    tide_heap_start_lock,
    tide_common_lock,
    tide_heap_orphans_lock,
};
static struct tide_lock *(*const inner[])(void) = {
    tide_retired_lock,
    tide_reserve_lock,
    tide_store_lock,
    tide_os_records_lock,
    tide_reclaim_handler_lock,
};

enum { OUTER = sizeof outer / sizeof *outer, INNER = sizeof inner / sizeof *inner };

static void lock_all(void)
{
    tide_nodes_wait();
    if (tide_rcu_is_used())
        tide_rcu_before_fork();
    for (int n = 0; n < OUTER; n++)
        tide_lock(outer[n]());
    tide_depot_lock_all();
    tide_arena_before_fork();
    for (int n = 0; n < INNER; n++)
        tide_lock(inner[n]());
    tide_retired_before_fork();
    tide_lock_begin_fork();
}

static void unlock_all(bool in_child)
{
    for (int n = INNER; n-- > 0;)
        tide_lock_after_fork(inner[n](), in_child);
    tide_arena_after_fork(in_child);
    tide_depot_unlock_all(in_child);
    for (int n = OUTER; n-- > 0;)
        tide_lock_after_fork(outer[n](), in_child);
}

/* ---- Handlers ------------------------------------------------------------ */

/* With several threads, whether or not they allocate: whoever holds the list's lock may
 * wait at the gate, and the C library's fork waits for that lock. */
static void lock_streams(void)
{
    has_streams = !__libc_single_threaded && _IO_list_lock;
    if (has_streams)
        _IO_list_lock();
}

static void unlock_streams(bool in_child)
{
    if (!has_streams)
        return;
    has_streams = false;
    if (in_child && _IO_list_resetlock)
        _IO_list_resetlock();
    else if (!in_child && _IO_list_unlock)
        _IO_list_unlock();
}

/* A signal handler may fork in the middle of this, which changes nothing then. */
void tide_fork_prepare(void)
{
    if (was_alone && ++nested > 0)
        return;
    tide_reserve_before_fork();
    lock_streams();
    was_alone = is_alone(); /* for a handler that comes now */
    was_alone = close_passage();
    if (was_alone) {
        if (tide_rcu_is_used())
            tide_rcu_before_fork();
        return;
    }
    has_passed = tide_fork_pass_in();
    lock_all();
}

static void open_passage(void)
{
    was_alone = false;
    atomic_store(&is_closed, 0);
    tide_os_wake(&is_closed);
}

static void pass_out(void)
{
    if (has_passed)
        tide_fork_pass_out();
    has_passed = false;
}

void tide_fork_in_parent(void)
{
    if (nested > 0) {
        nested--;
        return;
    }
    if (was_alone) {
        tide_rcu_after_fork(false);
        open_passage();
    } else {
        tide_lock_end_fork();
        unlock_all(false);
        tide_rcu_after_fork(false);
        pass_out();
    }
    unlock_streams(false);
}

/* Who waits to pass isn't in the child. */
static void forget_others(void)
{
    atomic_store(&passing, is_passing);
    atomic_store(&is_closed, 0);
    nested = 0;
    tide_os_forget_threads();
    tide_os_process_settle();
}

static void become_lone_child(void)
{
    was_alone = false;
    tide_nodes_after_fork_in_child();
    tide_heap_note_first();
    tide_heap_note_owner();
}

/* tidepool's own threads aren't in the child. */
static void forget_upkeep(void)
{
    tide_thread_after_fork_in_child();
    tide_reclaim_after_fork_in_child();
    tide_nodes_after_fork_in_child();
}

void tide_fork_in_child(void)
{
    forget_others();
    if (was_alone) {
        tide_rcu_after_fork(true);
        become_lone_child();
    } else {
        tide_lock_end_fork();
        forget_upkeep();
        tide_heap_after_fork_in_child();
        tide_upkeep_weigh();
        tide_retired_after_fork_in_child();
        tide_store_after_fork_in_child();
        unlock_all(true);
        tide_rcu_after_fork(true);
        pass_out();
    }
    unlock_streams(true);
}

/* ---- Without handlers ----------------------------------------------------- */

/* Others may have been in the middle of anything, with any lock held.  What threads
 * share is made anew, from what can be told without locks. */
void tide_fork_mend(void)
{
    bool was = is_alone();

    if (tide_lock_is_forking())
        return; /* a handler of fork's, before tidepool's own */
    forget_others();
    if (was) {
        become_lone_child();
        return;
    }
    tide_lock_end_fork();
    tide_store_mend_in_child(); /* asks its lock */
    for (int n = 0; n < INNER; n++)
        tide_lock_reset(inner[n](), false);
    for (int n = 0; n < OUTER; n++)
        tide_lock_reset(outer[n](), false);
    tide_os_forget_records();
    tide_depot_forget();
    tide_arena_mend_in_child();
    tide_retired_forget();
    forget_upkeep();
    tide_heap_mend_in_child();
    tide_upkeep_weigh();
    tide_idle_forget();
    tide_rcu_after_fork(true);
}
