/* upkeep/upkeep.c - see upkeep.h */
#include "upkeep/upkeep.h"

#include <errno.h>

#include "base/lock.h"
#include "base/options.h"
#include "heap/heap.h"
#include "upkeep/bound.h"
#include "upkeep/reclaim.h"
#include "upkeep/thread.h"

enum { TICKS = 16 };

/* The bound depends on how many heaps there are. */
void tide_upkeep_note_born(void)
{
    tide_set_relaxed(&tide_bound_most, 0);
    tide_nodes_note_heap();
}

void tide_upkeep_become_due(void)
{
    uint32_t none = TIDE_UPKEEP_NONE;

    if (atomic_compare_exchange_strong(&tide_upkeep_state, &none,
                                       tide_options.decay_ms < 0 ? TIDE_UPKEEP_SETTLED
                                                                 : TIDE_UPKEEP_DUE))
        tide_make_due();
}

/* Each so many calls look whether there is time for a part of a look. */
void tide_upkeep_tick(void)
{
    static _Atomic unsigned ticks;

    tide_bound_learn();
    tide_count(&ticks, 1);
    if (tide_relaxed(&ticks) % TICKS == 0)
        tide_make_due();
}

/* Whether it is left to another call. */
static bool look_or_start_thread(void)
{
    int saved_errno = errno;

    if (tide_relaxed(&tide_upkeep_state) != TIDE_UPKEEP_DUE)
        return false;
    if (tide_lock_is_forking())
        return true;
    if (!tide_thread_is_wanted()) {
        if (tide_heap_own()) /* others wait at no gate of a fork here */
            tide_upkeep_look_on();
    } else if (tide_heap_is_at_home()) {
        tide_thread_start();
    }
    errno = saved_errno;
    return false;
}

void tide_upkeep_do_all_due(void)
{
    bool is_left;

    atomic_exchange(&tide_something_is_due, false); /* pairs with tide_make_due */
    is_left = look_or_start_thread();
    is_left |= tide_nodes_check();
    is_left |= tide_reclaim_check();
    if (is_left)
        tide_make_due();
}
