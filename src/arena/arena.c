/* arena/arena.c - see arena.h */
#include "arena/arena.h"

#include "arena/address_map.h"
#include "arena/huge_pages.h"
#include "arena/nodes.h"
#include "arena/reserve.h"
#include "base/fatal.h"
#include "os/map.h"

_Atomic size_t tide_arena_idle_slots;

void tide_arena_count_idle(const struct arena *arena, uint64_t more, uint64_t fewer)
{
    size_t change = (size_t)tide_bit_count(more) - tide_bit_count(fewer);

    if (change != 0 && !tide_reserve_has(arena))
        atomic_fetch_add_explicit(&tide_arena_idle_slots, change, memory_order_relaxed);
}

/* Zero but, from the reserve, dirty and the slots it says.  The reserve's pages are
 * there already and aren't bound. */
static struct arena *map(unsigned shard)
{
    struct arena *arena = tide_reserve_take();

    if (arena)
        return arena;
    arena = tide_os_map(TIDE_ARENA_BYTES, TIDE_ARENA_BYTES);
    if (arena)
        tide_os_bind(arena, TIDE_ARENA_BYTES, tide_nodes_of_shard(shard));
    if (arena && tide_huge_pages_advise(arena, TIDE_ARENA_BYTES))
        tide_set_relaxed(&arena->units, TIDE_ALL_UNITS << UNIT_HUGE);
    return arena;
}

void tide_arena_unmap(struct arena *arena)
{
    if (!tide_reserve_put(arena))
        tide_os_unmap(arena, TIDE_ARENA_BYTES);
}

struct arena *tide_arena_create(unsigned shard)
{
    struct arena *arena = map(shard);

    if (!arena)
        return NULL;
    tide_lock_reset(&arena->lock, false);
    arena->shard = (uint8_t)shard;
    tide_set_relaxed(&arena->free, TIDE_ALL_FREE);
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

static struct pool *descriptor(struct arena *arena, unsigned slot)
{
    return (struct pool *)arena + slot;
}

/* Every align-th bit, align a power of two up to 64. */
static uint64_t aligned_slots(unsigned alignment)
{
    return ~UINT64_C(0) / tide_bit_run(0, alignment);
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
    unsigned first;

    /* Slots whose pages are resident anyway come first. */
    starts = tide_run_starts(free & dirty, slots) & aligned_slots(alignment);
    if (starts == 0)
        starts = tide_run_starts(free, slots) & aligned_slots(alignment);
    if (starts == 0)
        return NULL;
    first = tide_lowest_bit(starts);
    taken = tide_bit_run(first, slots);
    run = descriptor(arena, first);
    tide_set_relaxed(&run->slots, (uint8_t)slots);
    run->is_zero = (dirty & taken) == 0;
    tide_set_relaxed(&run->state, POOL_RUN);
    enter_rest(arena, run, first + 1, first + slots);
    tide_arena_count_idle(arena, 0, dirty & taken);
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
    tide_arena_count_idle(arena, slots, 0);
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | slots);
}

bool tide_arena_resize_locked(struct arena *arena, struct pool *run, unsigned slots)
{
    uint64_t free = tide_relaxed(&arena->free);
    unsigned first = tide_pool_slot(run), end = first + run->slots;

    if (slots < run->slots) {
        uint64_t fewer = tide_bit_run(first + slots, run->slots - slots);

        clear_slots(arena, first + slots, end);
        tide_arena_count_idle(arena, fewer, 0);
        tide_set_relaxed(&arena->free, free | fewer);
    } else if (slots > run->slots) {
        uint64_t more;

        if (first + slots > TIDE_SLOTS)
            return false;
        more = tide_bit_run(end, slots - run->slots);
        if ((free & more) != more)
            return false;
        enter_rest(arena, run, end, first + slots);
        tide_arena_count_idle(arena, 0, more & tide_relaxed(&arena->dirty));
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
    TIDE_REQUIRE((tide_relaxed(&arena->free) & ~TIDE_ALL_FREE) == 0);
    while (slot < TIDE_SLOTS)
        slot = check_slot((struct arena *)arena, slot);
}
