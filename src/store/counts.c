/* store/counts.c - see counts.h */
#include "store/counts.h"

#include "base/atomic.h"
#include "os/limits.h"

_Atomic size_t tide_store_used, tide_store_dirty, tide_store_mapped;
_Atomic size_t tide_store_grown, tide_store_patches;

void tide_store_add(_Atomic size_t *count, size_t bytes)
{
    atomic_fetch_add_explicit(count, bytes, memory_order_relaxed);
}

bool tide_store_count_used(size_t bytes, size_t dirty)
{
    if (!tide_os_limits_take(bytes - dirty))
        return false;
    tide_store_add(&tide_store_used, bytes);
    tide_store_add(&tide_store_dirty, -dirty);
    return true;
}

void tide_store_count_free(size_t bytes, enum tide_range_state state)
{
    tide_store_add(&tide_store_used, -bytes);
    if (state == RANGE_DIRTY)
        tide_store_add(&tide_store_dirty, bytes);
    else
        tide_os_limits_put(bytes);
}

void tide_store_count_purged(size_t bytes)
{
    tide_store_add(&tide_store_dirty, -bytes);
    tide_os_limits_put(bytes);
}
