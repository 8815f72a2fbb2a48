/* machine/limits.c - see limits.h */
#include "machine/limits.h"

#include "base/fatal.h"
#include "base/geometry.h"
#include "machine/cgroup.h"
#include "os/kernel.h"
#include "os/limits.h"

/* A program can't live on less, as it comes in arenas. */
#define LEAST (2 * TIDE_ARENA_BYTES)

/* What percentages are of; 0: unknown. */
static uint64_t whole(void)
{
    struct tide_cgroup group;
    struct tide_cgroup_memory memory;
    uint64_t bytes;

    if (tide_machine_cgroup_find(&group, "memory") && tide_machine_cgroup_memory(&group, &memory))
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

void tide_machine_limits_start(int64_t soft, int64_t hard)
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
