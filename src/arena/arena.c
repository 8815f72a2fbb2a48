/* arena/arena.c - see arena.h */
#include "arena/arena.h"

#include "arena/address_map.h"
#include "arena/huge_pages.h"
#include "arena/manager.h"
#include "arena/nodes.h"
#include "arena/reserve.h"
#include "base/fatal.h"
#include "os/map.h"

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

static char *rest_of(struct arena *arena)
{
    return (char *)arena + TIDE_ARENA_BYTES / 2;
}

static bool is_first(void)
{
    static _Atomic bool was_one;

    return !tide_relaxed(&was_one) && !atomic_exchange(&was_one, true);
}

/* Halves are units, if there are units. */
static struct arena *map_range(bool may_be_half)
{
    struct arena *arena = tide_os_map(TIDE_ARENA_BYTES, TIDE_ARENA_BYTES);

    if (TIDE_UNITS == 2 && arena && is_first() && may_be_half) {
        tide_os_unmap(rest_of(arena), TIDE_ARENA_BYTES / 2);
        tide_set_relaxed(&tide_map_hole, (uintptr_t)rest_of(arena));
    }
    return arena;
}

/* Whether huge pages were asked for. */
static bool prepare(void *start, size_t bytes, unsigned shard)
{
    tide_os_bind(start, bytes, tide_nodes_of_shard(shard));
    return tide_huge_pages_advise(start, bytes);
}

/* Zero but, from the reserve, dirty and the slots it says.  The reserve's pages are
 * there already and aren't bound. */
static struct arena *map(unsigned shard, bool may_be_half)
{
    struct arena *arena = tide_reserve_take();

    if (arena)
        return arena;
    arena = map_range(may_be_half);
    if (arena && prepare(arena, tide_arena_bytes(arena), shard))
        tide_set_relaxed(&arena->units,
                         (tide_arena_is_half(arena) ? 1 : TIDE_ALL_UNITS) << UNIT_HUGE);
    return arena;
}

void tide_arena_unmap(struct arena *arena)
{
    size_t bytes = tide_arena_bytes(arena);

    if (tide_reserve_put(arena))
        return;
    if (bytes != TIDE_ARENA_BYTES) /* before another arena can be here */
        tide_set_relaxed(&tide_map_hole, 0);
    tide_os_unmap(arena, bytes);
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

bool tide_arena_map_rest(struct arena *arena)
{
    if (!tide_os_map_at(rest_of(arena), TIDE_ARENA_BYTES / 2))
        return false;
    if (prepare(rest_of(arena), TIDE_ARENA_BYTES / 2, arena->shard))
        tide_arena_note_huge(arena, 2);
    return true;
}

void tide_arena_add_rest_locked(struct arena *arena)
{
    uint64_t rest = TIDE_ALL_FREE & ~tide_arena_slots(arena);

    tide_set_relaxed(&tide_map_hole, 0);
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | rest);
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

bool tide_arena_resize_locked(struct arena *arena, struct pool *run, unsigned slots)
{
    uint64_t free = tide_relaxed(&arena->free);
    unsigned first = tide_pool_slot(run), end = first + run->slots;

    if (slots < run->slots) {
        uint64_t fewer = tide_bit_run(first + slots, run->slots - slots);

        clear_slots(arena, first + slots, end);
        tide_arena_count_idle(arena, run->slots - slots);
        tide_set_relaxed(&arena->free, free | fewer);
    } else if (slots > run->slots) {
        uint64_t more;

        if (first + slots > TIDE_SLOTS)
            return false;
        more = tide_bit_run(end, slots - run->slots);
        if ((free & more) != more)
            return false;
        enter_rest(arena, run, end, first + slots);
        tide_arena_count_idle(arena, -(size_t)count_dirty(more, tide_relaxed(&arena->dirty),
                                                          slots - run->slots));
        tide_set_relaxed(&arena->free, free & ~more);
        tide_set_relaxed(&arena->dirty, tide_relaxed(&arena->dirty) | more);
    }
    tide_set_relaxed(&run->slots, (uint8_t)slots);
    return true;
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
