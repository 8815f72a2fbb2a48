/* test_lock.c - base/lock.h: exclusion, counts, and what fork needs */
#include "base/lock.h"

#include "../unit.h"

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;

static void try_lock(void *was_taken)
{
    *(bool *)was_taken = tide_lock_try(&lock);
    if (*(bool *)was_taken)
        tide_unlock(&lock);
}

/* Whether another thread could take the lock now. */
static bool is_free_for_others(void)
{
    bool was_taken;

    run_thread(try_lock, &was_taken);
    return was_taken;
}

Test(lock, a_lock_excludes_other_threads_until_unlocked)
{
    cr_assert(is_free_for_others());
    tide_lock(&lock);
    cr_assert_not(is_free_for_others());
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}

Test(lock, try_excludes_like_lock)
{
    cr_assert(tide_lock_try(&lock));
    cr_assert_not(is_free_for_others());
    cr_assert_not(tide_lock_try(&lock), "not recursive");
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}

Test(lock, every_acquisition_is_counted_once)
{
    tide_lock(&lock);
    tide_unlock(&lock);
    cr_assert_eq(tide_relaxed(&lock.acquired), 1);
    cr_assert(tide_lock_try(&lock));
    cr_assert_eq(tide_relaxed(&lock.acquired), 2);
    cr_assert_not(is_free_for_others());
    cr_assert_eq(tide_relaxed(&lock.acquired), 2, "a try that failed took nothing");
    tide_unlock(&lock);
    cr_assert_eq(tide_relaxed(&lock.contended), 0);
    cr_assert_eq(tide_relaxed(&lock.waited_ns), 0);
}

Test(lock, waiting_is_counted_and_takes_the_lock)
{
    tide_lock_wait(&lock);
    cr_assert_not(is_free_for_others());
    cr_assert_eq(tide_relaxed(&lock.acquired), 1);
    cr_assert_eq(tide_relaxed(&lock.contended), 1);
    tide_unlock(&lock);
}

Test(lock, counts_add_up)
{
    struct tide_lock sum = TIDE_LOCK_INITIALIZER;

    tide_lock_wait(&lock);
    tide_unlock(&lock);
    tide_lock(&lock);
    tide_unlock(&lock);
    tide_lock_add_counts(&sum, &lock);
    tide_lock_add_counts(&sum, &lock);
    cr_assert_eq(tide_relaxed(&sum.acquired), 4);
    cr_assert_eq(tide_relaxed(&sum.contended), 2);
    cr_assert_eq(tide_relaxed(&sum.waited_ns), 2 * tide_relaxed(&lock.waited_ns));
}

enum { THREADS = 4, TIMES = 20000 };

static uint64_t sum; /* under lock */

static void add_to_sum(void *unused)
{
    (void)unused;
    for (int n = 0; n < TIMES; n++) {
        tide_lock(&lock);
        sum++;
        tide_unlock(&lock);
    }
}

Test(lock, what_it_guards_and_its_counts_lose_nothing)
{
    struct peer peers[THREADS];

    for (int n = 0; n < THREADS; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < THREADS; n++)
        peer_ask(&peers[n], add_to_sum, NULL);
    for (int n = 0; n < THREADS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    cr_assert_eq(sum, THREADS * TIMES);
    cr_assert_eq(tide_relaxed(&lock.acquired), sum);
    cr_assert_leq(tide_relaxed(&lock.contended), sum);
}

Test(lock, reset_frees_a_held_lock_and_keeps_its_counts)
{
    tide_lock(&lock);
    tide_lock_reset(&lock, false);
    cr_assert_eq(tide_relaxed(&lock.acquired), 1);
    cr_assert(is_free_for_others());
    cr_assert(tide_lock_try(&lock));
    cr_assert_not(tide_lock_try(&lock), "not recursive");
    tide_unlock(&lock);
}

Test(lock, reset_makes_a_lock_of_zeroed_memory)
{
    static struct tide_lock zeroed;

    tide_lock_reset(&zeroed, false);
    cr_assert(tide_lock_try(&zeroed));
    cr_assert_not(tide_lock_try(&zeroed));
    tide_unlock(&zeroed);
}

static void take_twice(struct tide_lock *recursive)
{
    tide_lock(recursive);
    cr_assert(tide_lock_try(recursive));
    tide_unlock(recursive);
    tide_unlock(recursive);
    cr_assert_eq(tide_relaxed(&recursive->acquired), 2);
}

Test(lock, a_recursive_lock_is_taken_again_by_its_thread)
{
    static struct tide_lock recursive = TIDE_LOCK_RECURSIVE_INITIALIZER;

    take_twice(&recursive);
}

Test(lock, reset_can_make_a_lock_recursive)
{
    tide_lock_reset(&lock, true);
    take_twice(&lock);
    tide_lock(&lock);
    cr_assert_not(is_free_for_others());
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}

Test(lock, after_a_fork_the_lock_is_free_in_parent_and_child)
{
    tide_lock(&lock);
    tide_lock_after_fork(&lock, false);
    cr_assert(is_free_for_others());
    tide_lock(&lock);
    tide_lock_after_fork(&lock, true);
    cr_assert(is_free_for_others());
}

Test(lock, a_forking_thread_takes_its_locks_again)
{
    tide_lock(&lock);
    tide_lock_begin_fork();
    tide_lock(&lock);
    cr_assert(tide_lock_try(&lock));
    cr_assert_eq(lock.nested, 2);
    tide_unlock(&lock);
    tide_unlock(&lock);
    cr_assert_eq(lock.nested, 0);
    tide_lock_end_fork();
    cr_assert_not(is_free_for_others(), "the fork's own unlock is still to come");
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}

Test(lock, only_the_forking_thread_nests)
{
    tide_lock(&lock);
    tide_lock_begin_fork();
    cr_assert_not(is_free_for_others());
    cr_assert_eq(lock.nested, 0);
    tide_lock_end_fork();
    cr_assert_not(tide_lock_try(&lock), "and only while it forks");
    tide_unlock(&lock);
}

Test(lock, a_forking_thread_takes_a_lock_that_is_free)
{
    tide_lock_begin_fork();
    tide_lock(&lock);
    cr_assert_eq(lock.nested, 0);
    tide_lock_end_fork();
    cr_assert_not(is_free_for_others());
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}

Test(lock, reset_forgets_nesting)
{
    tide_lock(&lock);
    tide_lock_begin_fork();
    tide_lock(&lock);
    tide_lock_end_fork();
    tide_lock_reset(&lock, false);
    tide_lock(&lock);
    tide_unlock(&lock);
    cr_assert(is_free_for_others());
}
