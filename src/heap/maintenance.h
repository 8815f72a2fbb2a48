/* heap/maintenance.h - the thread that gives idle memory back
 *
 * Started once the program has some megabytes and a second thread that allocates
 * (TIDEPOOL_MAINTENANCE=auto; on: megabytes are enough; off: never), by a malloc on
 * its slow path; gone in the child of a fork until that needs it, too.  It looks
 * twice in TIDEPOOL_DECAY_MS: what was free at the last look and still is goes.  When
 * nothing is left to go it sleeps until something is freed.
 *
 * Without it a malloc on its slow path does a part of a look now and then, and bound.h
 * sees to what a program keeps that makes no further call.
 *
 * While memory is short (os/pressure.h: the control group is nearly full, or
 * tasks wait for memory), which it asks once a second or at each look, whichever
 * is sooner, nothing waits: all that is free goes at once, again and again.
 */
#ifndef TIDE_HEAP_MAINTENANCE_H
#define TIDE_HEAP_MAINTENANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena/huge_pages.h"
#include "arena/manager.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/due.h"
#include "heap/nodes.h"
#include "store/store.h"

#define TIDE_MAINTAINED_BYTES ((size_t)16 << 20) /* the thread, from as many on */
#define TIDE_UNMAINTAINED_BYTES ((size_t)4 << 20) /* nothing, up to as many */

enum tide_maintenance_bell { TIDE_BELL_AWAKE, TIDE_BELL_ASLEEP, TIDE_BELL_END };

enum tide_maintenance_state {
    TIDE_MAINTENANCE_NONE,     /* the program is small */
    TIDE_MAINTENANCE_DUE,      /* mallocs do it, or start the thread */
    TIDE_MAINTENANCE_RUNNING,  /* the thread does */
    TIDE_MAINTENANCE_SETTLED,  /* nobody ever will */
};

extern TIDE_HIDDEN _Atomic uint32_t tide_maintenance_state;
extern TIDE_HIDDEN _Atomic uint32_t tide_maintenance_bell;

void tide_maintenance_wake(void);
void tide_maintenance_become_due(void);
void tide_maintenance_tick_slow(void);

/* A malloc on its slow path: each so many of them look whether there is time for a part
 * of a look. */
static inline void tide_maintenance_tick(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_maintenance_state) == TIDE_MAINTENANCE_DUE))
        tide_maintenance_tick_slow();
}

static inline size_t tide_maintenance_mapped(void)
{
    return tide_relaxed(&tide_store_used) + tide_relaxed(&tide_store_dirty);
}

/* The program may have more memory than before. */
static inline void tide_maintenance_weigh(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_maintenance_bell) == TIDE_BELL_ASLEEP) &&
        tide_huge_look_is_due())
        tide_maintenance_wake();
    if (TIDE_UNLIKELY(tide_relaxed(&tide_maintenance_state) == TIDE_MAINTENANCE_NONE) &&
        tide_maintenance_mapped() > TIDE_UNMAINTAINED_BYTES)
        tide_maintenance_become_due();
    tide_maintenance_tick();
    tide_nodes_weigh(tide_relaxed(&tide_store_used));
}

/* By a thread that holds no lock and uses no heap: it may call malloc.  Starts
 * the thread, or does a part of its work, if that is due.  Keeps errno.  Whether
 * it still is. */
bool tide_maintenance_check(void);

/* Something was freed that can go when it is idle.  Any locks may be held. */
static inline void tide_maintenance_note(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_maintenance_bell) == TIDE_BELL_ASLEEP))
        tide_maintenance_wake();
}

/* Who gives idle memory back, in words. */
const char *tide_maintenance_name(void);

/* One look.  What waits for the next: bytes, heaps, classes of the depot, arenas
 * that are walked.  No locks held. */
size_t tide_maintenance_look(void);

/* Returns to the OS at once what no thread has allocated, but for about keep bytes
 * and what threads hold that are running just then (or have moved no pool since they
 * last gave back, if so wanted).  Bytes that were returned. */
size_t tide_maintenance_purge(size_t keep, bool is_only_moved);

/* Returns free ranges to the OS with their address space. */
void tide_maintenance_unmap(void);

/* Held during a look, so that a fork finds everything at rest. */
struct tide_lock *tide_maintenance_lock(void);

/* Ends the thread for good.  The C library ends a program whose main thread has
 * called pthread_exit when no other is left, and counts this one. */
void tide_maintenance_end(void);

void tide_maintenance_after_fork_in_child(void);

#endif
