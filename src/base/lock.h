/* base/lock.h - a mutex that counts how often it was waited for
 *
 * Lock order, outermost first (a thread holding one may take only later
 * ones; trylock is allowed against the order):
 *   1. rcu        os/rcu.c           a grace period begins or ends
 *   2. look       upkeep/look.c      a look for idle memory
 *   3. start      heap/heap.c        once, at the first allocation
 *   4. common     heap/common.c      the heap that threads share
 *   5. orphans    heap/orphans.c     heaps without a thread
 *   6. depot      exchange/depot.c   one per size class of each
 *   7. arena      arena/arena.h      one per arena
 *   8. shard      arena/shard.h      one per shard
 *   9. retired    arena/retired.c    arenas that wait for walks to end
 *  10. reserve    arena/reserve.c    arenas from the system's huge pages
 *  11. store      store/ranges.c     ranges of address space
 *  12. records    os/records.c       the allocator's own records
 *  13. handler    upkeep/reclaim.c   the program's function for the soft limit
 * With arena_lock=global, 7 and 8 are one recursive lock.
 *
 * A thread that forks, and isn't the only one, holds all of them from the first fork
 * handler of tidepool's to the last.  Handlers of others that run in between may
 * allocate: for that thread, a lock that it holds is taken again by counting.
 */
#ifndef TIDE_BASE_LOCK_H
#define TIDE_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"

struct tide_lock {
    pthread_mutex_t mutex;
    _Atomic uint64_t acquired;  /* written under the lock, read by walkers */
    _Atomic uint64_t waited_ns; /* likewise: how long all waited who had to */
    _Atomic uint32_t contended; /* likewise: how many these were */
    uint32_t nested;            /* under the lock: times the forking thread has it again */
};

#define TIDE_LOCK_INITIALIZER { .mutex = PTHREAD_MUTEX_INITIALIZER }
#define TIDE_LOCK_RECURSIVE_INITIALIZER { .mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP }

/* For a lock in zeroed memory, or in a fork child; the counts go on. */
void tide_lock_reset(struct tide_lock *lock, bool recursive);

void tide_lock_wait(struct tide_lock *lock);

/* Adds the counts of lock to those of sum, which nobody else uses. */
void tide_lock_add_counts(struct tide_lock *sum, const struct tide_lock *lock);

/* Undoes the lock that was taken for a fork. */
void tide_lock_after_fork(struct tide_lock *lock, bool in_child);

/* Around fork, by the thread that forks and holds every lock. */
void tide_lock_begin_fork(void);
void tide_lock_end_fork(void);

/* Whether this thread is between the two. */
bool tide_lock_is_forking(void);

/* Takes a busy lock again if this thread is forking. */
bool tide_lock_nest(struct tide_lock *lock);

static inline bool tide_lock_try(struct tide_lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return tide_lock_nest(lock);
    tide_count(&lock->acquired, 1);
    return true;
}

/* Tries for some microseconds: who holds it for a few instructions has been stopped, else. */
bool tide_lock_soon(struct tide_lock *lock);

static inline void tide_lock(struct tide_lock *lock)
{
    if (!tide_lock_try(lock))
        tide_lock_wait(lock);
}

static inline void tide_unlock(struct tide_lock *lock)
{
    if (TIDE_UNLIKELY(lock->nested != 0))
        lock->nested--;
    else
        pthread_mutex_unlock(&lock->mutex);
}

#endif
