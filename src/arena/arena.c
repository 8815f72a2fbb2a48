/* arena/arena.c - see arena.h */
#include "arena/arena.h"

#include <string.h>

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "os/huge_pages.h"
#include "store/purge.h"
#include "store/store.h"

struct tide_lock *tide_arena_global_lock;
_Atomic size_t tide_arena_created, tide_arena_released, tide_arena_idle_slots;

/* How many of so many slots are dirty; mostly all are, or none. */
static unsigned count_dirty(uint64_t slots, uint64_t dirty, unsigned count)
{
    uint64_t both = slots & dirty;

    return both == slots ? count : both == 0 ? 0 : tide_bit_count(both);
}

/* ---- Memory -------------------------------------------------------------- */

static void clear_header(struct arena *arena)
{
    memset(arena, 0, offsetof(struct arena, live));
    if (tide_options.check)
        memset((void *)arena->live, 0, sizeof arena->live);
}

/* Zero but for range, huge, and dirty, which tells the slots that are not. */
static struct arena *take(unsigned node)
{
    struct tide_request request = {
        .bytes = TIDE_ARENA_BYTES,
        .alignment = TIDE_ARENA_BYTES,
        .node = node,
        .state = RANGE_USED,
    };
    size_t fresh;
    struct tide_range *range = tide_store_take(&request, &fresh);
    struct arena *arena = range ? (struct arena *)range->start : NULL;

    if (!arena)
        return NULL;
    tide_store_make_up(fresh);
    if (fresh < TIDE_ARENA_BYTES) {
        clear_header(arena);
        tide_set_relaxed(&arena->dirty, TIDE_ALL_FREE);
    }
    arena->range = range;
    if (TIDE_ARENAS_MAY_BE_HUGE && tide_os_has_huge_pages())
        tide_set_relaxed(&arena->huge, ARENA_HUGE);
    return arena;
}

struct arena *tide_arena_create(unsigned shard, unsigned node)
{
    struct arena *arena = tide_reserve_take();

    if (!arena && !(arena = take(node)))
        return NULL;
    tide_lock_reset(&arena->lock, false);
    arena->shard = (uint8_t)shard;
    tide_set_relaxed(&arena->free, TIDE_ALL_FREE);
    if (!tide_address_map_enter(arena)) {
        tide_arena_unmap(arena);
        return NULL;
    }
    atomic_fetch_add_explicit(&tide_arena_created, 1, memory_order_relaxed);
    tide_arena_count_idle(arena, tide_arena_idle(arena));
    return arena;
}

void tide_arena_unmap(struct arena *arena)
{
    if (!tide_reserve_put(arena))
        tide_store_put(arena->range, RANGE_DIRTY);
}

void tide_arena_destroy(struct arena *arena)
{
    tide_address_map_leave(arena);
    tide_arena_unmap(arena);
}

/* ---- Slots -------------------------------------------------------------- */

static struct pool *descriptor(struct arena *arena, unsigned slot)
{
    return (struct pool *)arena + slot;
}

/* Enters [from, to) as the slots of run that follow its first. */
static void enter_rest(struct arena *arena, struct pool *run, unsigned from, unsigned to)
{
    unsigned first = tide_pool_slot(run);

    for (unsigned slot = from; slot < to; slot++) {
        struct pool *rest = descriptor(arena, slot);

        tide_set_relaxed(&rest->state, POOL_REST);
        rest->back = (uint8_t)(slot - first);
    }
}

static void clear_slots(struct arena *arena, unsigned from, unsigned to)
{
    for (unsigned slot = from; slot < to; slot++) {
        struct pool *pool = descriptor(arena, slot);

        tide_set_relaxed(&pool->state, POOL_FREE);
        pool->back = 0;
        pool->is_idle = false;
    }
}

bool tide_arena_has_resident(const struct arena *arena, unsigned slots)
{
    return tide_run_starts(tide_relaxed(&arena->free) & tide_relaxed(&arena->dirty), slots) != 0;
}

struct pool *tide_arena_take_locked(struct arena *arena, unsigned slots)
{
    uint64_t free = tide_relaxed(&arena->free), dirty = tide_relaxed(&arena->dirty), starts, taken;
    struct pool *run;
    unsigned first, resident;

    TIDE_ASSERT(slots <= TIDE_WIDE_SLOTS);
    /* Slots whose pages are resident anyway come first. */
    starts = tide_run_starts(free & dirty, slots);
    if (starts == 0)
        starts = tide_run_starts(free, slots);
    if (starts == 0)
        return NULL;
    first = tide_lowest_bit(starts);
    taken = tide_bit_run(first, slots);
    run = descriptor(arena, first);
    tide_set_relaxed(&run->slots, (uint8_t)slots);
    resident = count_dirty(taken, dirty, slots);
    run->fresh = (uint8_t)(slots - resident);
    run->is_zero = resident == 0;
    tide_set_relaxed(&run->state, POOL_RUN);
    enter_rest(arena, run, first + 1, first + slots);
    tide_arena_count_idle(arena, -(size_t)resident);
    tide_set_relaxed(&arena->free, free & ~taken);
    tide_set_relaxed(&arena->dirty, dirty | taken);
    return run;
}

void tide_arena_put_locked(struct arena *arena, struct pool *run)
{
    unsigned first = tide_pool_slot(run);
    uint64_t slots = tide_bit_run(first, run->slots);

    TIDE_ASSERT(tide_relaxed(&run->owner) == NULL);
    clear_slots(arena, first, first + run->slots);
    tide_arena_count_idle(arena, run->slots);
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | slots);
}

/* Checks the run or free slot at slot; the slot after it. */
static unsigned check_slot(struct arena *arena, unsigned slot)
{
    struct pool *pool = descriptor(arena, slot);
    uint8_t state = tide_relaxed(&pool->state);

    TIDE_REQUIRE(pool->back == 0);
    if (tide_relaxed(&arena->free) >> slot & 1) {
        TIDE_REQUIRE(state == POOL_FREE);
        TIDE_REQUIRE(tide_relaxed(&pool->owner) == NULL);
        return slot + 1;
    }
    /* A slot that is neither free nor taken is being purged. */
    if (state == POOL_FREE)
        return slot + 1;
    TIDE_REQUIRE(state != POOL_REST && pool->slots > 0 && slot + pool->slots <= TIDE_SLOTS);
    for (unsigned n = 1; n < pool->slots; n++) {
        TIDE_REQUIRE(tide_relaxed(&pool[n].state) == POOL_REST && pool[n].back == n);
        TIDE_REQUIRE(!(tide_relaxed(&arena->free) >> (slot + n) & 1));
    }
    TIDE_REQUIRE(tide_relaxed(&arena->dirty) >> slot & 1);
    return slot + pool->slots;
}

void tide_arena_check_locked(const struct arena *arena)
{
    unsigned slot = TIDE_HEADER_SLOTS;

    TIDE_REQUIRE(tide_is_in_arena(arena));
    TIDE_REQUIRE((tide_relaxed(&arena->free) & ~TIDE_ALL_FREE) == 0);
    while (slot < TIDE_SLOTS)
        slot = check_slot((struct arena *)arena, slot);
}
