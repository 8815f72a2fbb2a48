/* upkeep/look.c - see look.h */
#include "upkeep/look.h"

#include <limits.h>

#include "arena/retired.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/home.h"
#include "large/cache.h"
#include "os/thread.h"
#include "store/purge.h"
#include "upkeep/idle.h"

static struct tide_lock look_lock = TIDE_LOCK_INITIALIZER;

uint64_t tide_upkeep_pause_ms(void)
{
    return tide_options.decay_ms < 2 ? 1 : (uint64_t)tide_options.decay_ms / 2;
}

/* Without a thread: parts of a look. */
enum {
    INLINE_ARENAS = 16,
    PART_MS = 5, /* between them */
};

size_t tide_upkeep_look(void)
{
    size_t left, in_arenas;

    tide_lock(&look_lock);
    left = tide_heap_empty_depot(true);
    left += tide_idle_look();
    tide_large_cache_flush();
    left += tide_store_decay();
    while (!tide_arena_decay(UINT_MAX, true, &in_arenas))
        ;
    left += in_arenas + tide_retired_reclaim();
    tide_unlock(&look_lock);
    return left;
}

/* A part of a look.  Whether it was the last. */
static bool look_on(void)
{
    static enum { DEPOT, HEAPS, STORE, ARENAS } part;
    size_t waiting;

    switch (part) {
    case DEPOT:
        tide_heap_empty_depot(true);
        break;
    case HEAPS:
        if (tide_idle_look_on())
            return false;
        break;
    case STORE:
        tide_large_cache_flush();
        tide_store_decay();
        break;
    case ARENAS:
        if (!tide_arena_decay(INLINE_ARENAS, false, &waiting))
            return false;
        part = DEPOT;
        return true;
    }
    part++;
    return false;
}

/* Without a thread of its own: now and then, by one that allocates. */
void tide_upkeep_look_on(void)
{
    static _Atomic uint64_t next; /* written under look_lock: ms */
    uint64_t now = tide_os_now_ms();

    if (now < tide_relaxed(&next) || !tide_lock_try(&look_lock))
        return;
    tide_set_relaxed(&next, now + (look_on() ? tide_upkeep_pause_ms() : PART_MS));
    tide_unlock(&look_lock);
}

struct tide_lock *tide_upkeep_lock(void)
{
    return &look_lock;
}

/* ---- All at once ------------------------------------------------------- */

/* What this thread has of others' goes home first, and what is in the depot may
 * be this thread's. */
size_t tide_upkeep_purge(size_t keep, bool is_only_moved)
{
    size_t returned, idle;

    tide_lock(&look_lock);
    returned = tide_idle_give_back_own();
    tide_heap_empty_depot(false);
    returned += tide_idle_give_back_all(is_only_moved);
    returned += tide_arena_trim(keep);
    tide_large_cache_flush();
    idle = tide_relaxed(&tide_arena_idle_slots) << TIDE_SLOT_SHIFT;
    returned += tide_store_purge(keep > idle ? keep - idle : 0, SIZE_MAX);
    tide_unlock(&look_lock);
    return returned;
}

void tide_upkeep_unmap(void)
{
    tide_lock(&look_lock);
    tide_large_cache_flush();
    tide_store_purge(0, SIZE_MAX);
    tide_store_unmap();
    tide_unlock(&look_lock);
}
