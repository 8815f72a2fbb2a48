/* heap/maintenance.c - see maintenance.h */
#include "heap/maintenance.h"

#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "os/thread.h"

_Atomic bool tide_maintenance_is_settled;
_Atomic uint32_t tide_maintenance_sleeps;

static struct tide_lock look_lock = TIDE_LOCK_INITIALIZER;

size_t tide_maintenance_look(void)
{
    size_t waiting;

    tide_lock(&look_lock);
    waiting = tide_heap_decay_orphans();
    waiting += tide_huge_decay();
    waiting += tide_arena_decay();
    tide_unlock(&look_lock);
    return waiting;
}

struct tide_lock *tide_maintenance_lock(void)
{
    return &look_lock;
}

/* What is freed before it is known to sleep doesn't wake it, so it looks once
 * more then. */
static void sleep_until_woken(void)
{
    atomic_store(&tide_maintenance_sleeps, 1);
    if (tide_maintenance_look() == 0)
        tide_os_wait(&tide_maintenance_sleeps, 1);
    atomic_store(&tide_maintenance_sleeps, 0);
}

static void *maintain(void *unused)
{
    uint64_t pause = tide_options.decay_ms < 2 ? 1 : (uint64_t)tide_options.decay_ms / 2;

    for (;; tide_os_sleep_ms(pause))
        if (tide_maintenance_look() == 0)
            sleep_until_woken();
    return unused;
}

void tide_maintenance_start(void)
{
    if (tide_lock_is_forking() || atomic_exchange(&tide_maintenance_is_settled, true) ||
        !tide_options.maintenance || tide_options.decay_ms < 0)
        return;
    if (!tide_os_start_thread(maintain, "tidepool"))
        tide_base_warn("no thread can be started to give idle memory back; it stays until "
                       "malloc_trim (TIDEPOOL_MAINTENANCE=off leaves it out)");
}

void tide_maintenance_wake(void)
{
    if (atomic_exchange(&tide_maintenance_sleeps, 0) != 0)
        tide_os_wake(&tide_maintenance_sleeps);
}

void tide_maintenance_after_fork_in_child(void)
{
    atomic_store(&tide_maintenance_is_settled, false);
    atomic_store(&tide_maintenance_sleeps, 0);
}
