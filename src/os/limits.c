/* os/limits.c - see limits.h */
#include "os/limits.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/due.h"
#include "base/fatal.h"
#include "base/geometry.h"
#include "os/cgroup.h"
#include "os/kernel.h"

/* A program can't live on less, as it comes in arenas. */
#define LEAST (2 * TIDE_ARENA_BYTES)

_Atomic bool tide_os_limits_are_crossed;

static size_t soft_limit = TIDE_NO_LIMIT, hard_limit = TIDE_NO_LIMIT; /* constant after the start */
static _Atomic size_t mapped;
static _Atomic bool is_below = true; /* and a crossing is to be told */

/* ---- From the settings ------------------------------------------------- */

/* What percentages are of; 0: unknown. */
static uint64_t whole(void)
{
    struct tide_cgroup group;
    struct tide_cgroup_memory memory;
    uint64_t bytes;

    if (tide_os_cgroup_find(&group, "memory") && tide_os_cgroup_memory(&group, &memory))
        return memory.limit;
    return tide_os_kernel_meminfo("MemTotal", &bytes) ? bytes : 0;
}

static size_t in_bytes(int64_t setting, const char *name)
{
    uint64_t bytes = setting < 0 ? whole() / 100 * (uint64_t)-setting : (uint64_t)setting;

    if (setting == 0)
        return TIDE_NO_LIMIT;
    if (setting < 0 && bytes == 0) {
        tide_base_warn("setting %s=%d%% is ignored: neither a control group's limit nor "
                       "/proc/meminfo can be read; give it in bytes",
                       name, (int)-setting);
        return TIDE_NO_LIMIT;
    }
    if (bytes < LEAST) {
        tide_base_warn("setting %s is ignored: %zu bytes are too few, as memory comes in pieces "
                       "of %zu; give it at least %zu",
                       name, (size_t)bytes, TIDE_ARENA_BYTES, LEAST);
        return TIDE_NO_LIMIT;
    }
    return bytes;
}

void tide_os_limits_start(int64_t soft, int64_t hard)
{
    size_t soft_bytes = in_bytes(soft, "TIDEPOOL_LIMIT_SOFT");
    size_t hard_bytes = in_bytes(hard, "TIDEPOOL_LIMIT_HARD");

    if (soft_bytes != TIDE_NO_LIMIT && soft_bytes >= hard_bytes) {
        tide_base_warn("setting TIDEPOOL_LIMIT_SOFT (%zu bytes) is ignored: it is not below "
                       "TIDEPOOL_LIMIT_HARD (%zu bytes)",
                       soft_bytes, hard_bytes);
        soft_bytes = TIDE_NO_LIMIT;
    }
    tide_os_limits_set(soft_bytes, hard_bytes);
}

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

/* ---- Counting ---------------------------------------------------------- */

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
