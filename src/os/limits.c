/* os/limits.c - see limits.h */
#include "os/limits.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/due.h"

_Atomic bool tide_os_limits_are_crossed;

static size_t soft_limit = TIDE_NO_LIMIT, hard_limit = TIDE_NO_LIMIT; /* constant after the start */
static _Atomic size_t mapped;
static _Atomic bool is_below = true; /* and a crossing is to be told */

void tide_os_limits_set(size_t soft, size_t hard)
{
    soft_limit = soft;
    hard_limit = hard;
}

size_t tide_os_limits_soft(void)
{
    return soft_limit;
}

size_t tide_os_limits_hard(void)
{
    return hard_limit;
}

bool tide_os_limits_is_above_soft(void)
{
    return tide_relaxed(&mapped) > soft_limit;
}

size_t tide_os_limits_mapped(void)
{
    return tide_relaxed(&mapped);
}

bool tide_os_limits_take(size_t bytes)
{
    size_t before = tide_relaxed(&mapped);

    do
        if (bytes > hard_limit || before > hard_limit - bytes) {
            errno = ENOMEM;
            return false;
        }
    while (!atomic_compare_exchange_weak_explicit(&mapped, &before, before + bytes,
                                                  memory_order_relaxed, memory_order_relaxed));
    return true;
}

void tide_os_limits_note_mapped(void)
{
    if (tide_relaxed(&mapped) > soft_limit && atomic_exchange(&is_below, false)) {
        tide_set_relaxed(&tide_os_limits_are_crossed, true);
        tide_make_due();
    }
}

void tide_os_limits_put(size_t bytes)
{
    size_t left = atomic_fetch_sub_explicit(&mapped, bytes, memory_order_relaxed) - bytes;

    if (!tide_relaxed(&is_below) && left <= soft_limit - soft_limit / 16)
        tide_set_relaxed(&is_below, true);
}
