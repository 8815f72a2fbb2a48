/* arena/arena.c - see arena.h */
#include "arena/arena.h"

#include <string.h>

#include "arena/address_map.h"
#include "arena/huge_pages.h"
#include "arena/manager.h"
#include "arena/nodes.h"
#include "arena/reserve.h"
#include "base/fatal.h"
#include "base/options.h"
#include "store/purge.h"
#include "store/store.h"

_Atomic size_t tide_arena_idle_slots;

/* How many of so many slots are dirty; mostly all are, or none. */
static unsigned count_dirty(uint64_t slots, uint64_t dirty, unsigned count)
{
    uint64_t both = slots & dirty;

    return both == slots ? count : both == 0 ? 0 : tide_bit_count(both);
}

/* Every align-th bit, align a power of two up to 64. */
static uint64_t aligned_slots(unsigned alignment)
{
    return ~UINT64_C(0) / tide_bit_run(0, alignment);
}

/* The bits of free slots that a run may start at. */
static uint64_t starts_in(uint64_t free, unsigned slots, unsigned alignment)
{
    return tide_run_starts(free, slots) & aligned_slots(alignment);
}

/* ---- Mappings ----------------------------------------------------------- */

static bool is_first(void)
{
    static _Atomic bool was_one;

    return !tide_relaxed(&was_one) && !atomic_exchange(&was_one, true);
}

static void clear_header(struct arena *arena)
{
    memset(arena, 0, offsetof(struct arena, live));
    if (tide_options.check)
        memset((void *)arena->live, 0, sizeof arena->live);
}

/* A half arena, or a whole one, of the store's. */
static struct arena *take(unsigned shard, bool is_half)
{
    struct tide_request request = {
        .bytes = is_half ? TIDE_ARENA_BYTES / 2 : TIDE_ARENA_BYTES,
        .alignment = TIDE_ARENA_BYTES,
        .node = tide_nodes_of_shard(shard),
        .state = RANGE_USED,
    };
    size_t fresh;
    struct tide_range *range = tide_store_take(&request, &fresh);
    struct arena *arena = range ? (struct arena *)range->start : NULL;

    if (!arena)
        return NULL;
    tide_store_make_up(fresh);
    if (fresh < request.bytes)
        clear_header(arena);
    arena->range = range;
    if (is_half)
        tide_set_relaxed(&tide_map_hole, (uintptr_t)arena + TIDE_ARENA_BYTES / 2);
    if (fresh < request.bytes)
        tide_set_relaxed(&arena->dirty, tide_arena_slots(arena));
    return arena;
}

/* Zero but, from the reserve, dirty and the slots it says.  Halves are units, if there
 * are units. */
static struct arena *map(unsigned shard, bool may_be_half)
{
    struct arena *arena = tide_reserve_take();

    if (arena)
        return arena;
    arena = take(shard, TIDE_UNITS == 2 && is_first() && may_be_half);
    if (arena && TIDE_UNITS > 0 && tide_os_has_huge_pages())
        tide_set_relaxed(&arena->units,
                         (tide_arena_is_half(arena) ? 1 : TIDE_ALL_UNITS) << UNIT_HUGE);
    return arena;
}

void tide_arena_unmap(struct arena *arena)
{
    if (tide_reserve_put(arena))
        return;
    if (tide_arena_is_half(arena)) /* before another arena can be here */
        tide_set_relaxed(&tide_map_hole, 0);
    tide_store_put(arena->range, RANGE_DIRTY);
}

struct arena *tide_arena_create(unsigned shard, unsigned slots, unsigned alignment)
{
    struct arena *arena = map(shard, starts_in(TIDE_HALF_FREE, slots, alignment) != 0);

    if (!arena)
        return NULL;
    tide_lock_reset(&arena->lock, false);
    arena->shard = (uint8_t)shard;
    tide_set_relaxed(&arena->free, tide_arena_slots(arena));
    if (!tide_address_map_set(arena, TIDE_ARENA_BYTES, TIDE_ARENA, TIDE_ARENA)) {
        tide_arena_unmap(arena);
        return NULL;
    }
    tide_arena_count_idle(arena, tide_bit_count(tide_relaxed(&arena->free) &
                                                tide_relaxed(&arena->dirty)));
    return arena;
}

void tide_arena_destroy(struct arena *arena)
{
    tide_address_map_clear(arena, TIDE_ARENA_BYTES);
    tide_arena_unmap(arena);
}

bool tide_arena_would_suit(const struct arena *arena, unsigned slots, unsigned alignment)
{
    uint64_t rest = TIDE_ALL_FREE & ~tide_arena_slots(arena);

    return starts_in(tide_relaxed(&arena->free) | rest, slots, alignment) != 0;
}

bool tide_arena_map_rest(struct arena *arena, bool *is_zero)
{
    size_t fresh;

    if (!tide_store_extend(arena->range, TIDE_ARENA_BYTES, &fresh))
        return false;
    *is_zero = fresh == TIDE_ARENA_BYTES / 2;
    if (tide_os_has_huge_pages())
        tide_arena_note_huge(arena, 2);
    return true;
}

void tide_arena_add_rest_locked(struct arena *arena, bool is_zero)
{
    uint64_t rest = TIDE_ALL_FREE & ~tide_arena_slots(arena);

    tide_set_relaxed(&tide_map_hole, 0);
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | rest);
    if (is_zero)
        return;
    tide_set_relaxed(&arena->dirty, tide_relaxed(&arena->dirty) | rest);
    tide_arena_count_idle(arena, tide_bit_count(rest));
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

struct pool *tide_arena_take_locked(struct arena *arena, unsigned slots, unsigned alignment)
{
    uint64_t free = tide_relaxed(&arena->free), dirty = tide_relaxed(&arena->dirty), starts, taken;
    struct pool *run;
    unsigned first, resident;

    /* Slots whose pages are resident anyway come first. */
    starts = starts_in(free & dirty, slots, alignment);
    if (starts == 0)
        starts = starts_in(free, slots, alignment);
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

    TIDE_REQUIRE(tide_memory_at(arena) == TIDE_ARENA);
    TIDE_REQUIRE((tide_relaxed(&arena->free) & ~tide_arena_slots(arena)) == 0);
    TIDE_REQUIRE((tide_relaxed(&arena->dirty) & TIDE_ALL_FREE & ~tide_arena_slots(arena)) == 0);
    while (slot < TIDE_SLOTS)
        slot = check_slot((struct arena *)arena, slot);
}
