/* base/lock.c - the waiting half of lock.h */
#include "base/lock.h"

#include <time.h>

static _Atomic pthread_t forker; /* 0: no thread is forking */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tide_lock_wait(struct tide_lock *lock)
{
    uint64_t start = now_ns();

    pthread_mutex_lock(&lock->mutex);
    tide_count(&lock->acquired, 1);
    tide_count(&lock->contended, 1);
    tide_count(&lock->waited_ns, now_ns() - start);
}

bool tide_lock_soon(struct tide_lock *lock)
{
    enum { TRIES = 200 };

    for (int n = 0; n < TRIES; n++) {
        if (tide_lock_try(lock))
            return true;
        tide_relax();
    }
    return false;
}

void tide_lock_reset(struct tide_lock *lock, bool recursive)
{
    static const pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_mutex_t again = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

    lock->mutex = recursive ? again : normal;
    lock->nested = 0;
}

void tide_lock_add_counts(struct tide_lock *sum, const struct tide_lock *lock)
{
    tide_count(&sum->acquired, tide_relaxed(&lock->acquired));
    tide_count(&sum->contended, tide_relaxed(&lock->contended));
    tide_count(&sum->waited_ns, tide_relaxed(&lock->waited_ns));
}

void tide_lock_after_fork(struct tide_lock *lock, bool in_child)
{
    if (in_child)
        tide_lock_reset(lock, false);
    else
        tide_unlock(lock);
}

void tide_lock_begin_fork(void)
{
    tide_set_relaxed(&forker, pthread_self());
}

void tide_lock_end_fork(void)
{
    tide_set_relaxed(&forker, 0);
}

bool tide_lock_is_forking(void)
{
    return tide_relaxed(&forker) == pthread_self();
}

bool tide_lock_nest(struct tide_lock *lock)
{
    if (!tide_lock_is_forking())
        return false;
    lock->nested++;
    return true;
}
