/* arena/huge_pages.c - see huge_pages.h */
#include "arena/huge_pages.h"

#include "arena/arena.h"
#include "base/options.h"
#include "os/huge_pages.h"
#include "store/store.h"

enum {
    MOST_TRIES = 4,     /* arenas examined in a look, which ends when one is made huge */
    LOOKS_TO_REST = 16, /* until those found wanting are examined again */
};

/* The share of an arena that may be missing: a huge page adds it. */
#define MOST_MISSING_BYTES (TIDE_HUGE_PAGE_BYTES / 24)
_Static_assert(TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES < MOST_MISSING_BYTES,
               "most of the header's slot is missing in every arena");

static _Atomic uint32_t quiet_looks; /* that had few to examine, since all were */
static _Atomic size_t seen_created;  /* arenas made until the last look */
static _Atomic size_t seen_count;    /* those that there were then */

/* Under the arena's lock. */
static void set(struct arena *arena, enum arena_huge state, bool is_so)
{
    unsigned others = tide_relaxed(&arena->huge) & ~(unsigned)state;

    tide_set_relaxed(&arena->huge, (uint8_t)(is_so ? others | state : others));
}

/* ---- Purging ----------------------------------------------------------- */

uint64_t tide_arena_resident_slots(const struct arena *arena)
{
    if (tide_reserve_has(arena) || tide_arena_is(arena, ARENA_CHANGING))
        return 0;
    return tide_arena_is(arena, ARENA_HUGE) ? TIDE_ALL_FREE : tide_relaxed(&arena->dirty);
}

/* Whether so many slots are worth splitting the huge page. */
static bool are_most(uint64_t slots)
{
    return 2 * tide_bit_count(slots) > TIDE_SLOTS - TIDE_HEADER_SLOTS;
}

uint64_t tide_arena_decaying_slots(const struct arena *arena)
{
    uint64_t slots = tide_relaxed(&arena->free) & tide_arena_resident_slots(arena);

    return tide_arena_is(arena, ARENA_HUGE) && !are_most(slots) ? 0 : slots;
}

uint64_t tide_arena_split_locked(struct arena *arena, uint64_t slots, bool is_all, bool *is_split)
{
    bool is_huge = tide_arena_is(arena, ARENA_HUGE) && slots != 0;

    *is_split = is_huge && (is_all || are_most(slots));
    if (*is_split)
        set(arena, ARENA_HUGE, false);
    return is_huge && !*is_split ? 0 : slots;
}

void tide_arena_make_ordinary(struct arena *arena)
{
    tide_os_refuse_huge_pages(arena, TIDE_ARENA_BYTES);
}

bool tide_arena_may_split_slow(struct pool *pool, size_t bytes, bool *is_split)
{
    struct arena *arena = tide_arena_of(pool);
    bool is_huge, may_split;

    tide_lock(tide_arena_lock(arena));
    is_huge = tide_arena_is(arena, ARENA_HUGE);
    may_split = !tide_arena_is(arena, ARENA_CHANGING) &&
                (!is_huge || 2 * bytes > tide_pool_bytes(pool));
    *is_split = may_split && is_huge;
    if (*is_split)
        set(arena, ARENA_HUGE, false);
    tide_unlock(tide_arena_lock(arena));
    return may_split;
}

/* ---- Looking ----------------------------------------------------------- */

static bool is_seeking(void)
{
    return TIDE_ARENAS_MAY_BE_HUGE && tide_options.thp != TIDE_THP_NEVER;
}

struct tide_huge_look tide_huge_look_begin(void)
{
    size_t created = tide_relaxed(&tide_arena_created);
    size_t count = created - tide_relaxed(&tide_arena_released);
    bool is_growing = count > tide_relaxed(&seen_count); /* and has no time to spare */

    tide_set_relaxed(&seen_count, count);
    tide_set_relaxed(&seen_created, created);
    return (struct tide_huge_look){
        .tries = is_growing ? 0 : MOST_TRIES,
        .is_anew = tide_relaxed(&quiet_looks) == LOOKS_TO_REST,
    };
}

size_t tide_huge_look_end(const struct tide_huge_look *look)
{
    if (look->is_anew)
        tide_set_relaxed(&quiet_looks, 0);
    else if (look->tries > 0)
        tide_count(&quiet_looks, 1);
    return look->waiting_bytes;
}

bool tide_huge_look_is_due(void)
{
    return is_seeking() && tide_relaxed(&seen_created) != tide_relaxed(&tide_arena_created);
}

/* Under the arena's lock: notes whether it is full.  Whether it was so at the last
 * look and is worth examining. */
static bool note_full(struct tide_huge_look *look, struct arena *arena)
{
    bool was_full = tide_arena_is(arena, ARENA_FULL), is_full = tide_relaxed(&arena->free) == 0;

    set(arena, ARENA_FULL, is_full);
    if (!is_full || look->is_anew)
        set(arena, ARENA_WANTING, false);
    if (!is_full || tide_arena_is(arena, ARENA_WANTING | ARENA_HUGE))
        return false;
    look->waiting_bytes += was_full ? 0 : TIDE_HUGE_PAGE_BYTES;
    return was_full;
}

/* Under the arena's lock: whether at least seven eighths of what its pools carved is
 * allocated, and no slot is being purged or in a heap's stock. */
static bool is_allocated(const struct arena *arena)
{
    size_t slots = 0, allocated = 0;

    for (uint64_t rest = TIDE_ALL_FREE; rest != 0; rest &= rest - 1) {
        const struct pool *pool = (const struct pool *)arena + tide_lowest_bit(rest);
        uint8_t state = tide_relaxed(&pool->state);
        size_t carved = tide_relaxed(&pool->carved);

        if (state == POOL_FREE || state == POOL_EMPTY || tide_relaxed(&pool->hollow) != 0)
            return false;
        if ((state == POOL_USED || state == POOL_FULL) && carved > 0) {
            size_t length = tide_relaxed(&pool->slots);

            slots += length;
            allocated += length * TIDE_SLOT_BYTES *
                         (tide_relaxed(&pool->left) + tide_relaxed(&pool->held)) / carved;
        }
    }
    return 8 * allocated >= 7 * slots * TIDE_SLOT_BYTES;
}

/* Whether the arena has a huge page now, or will have. */
static bool make_huge(struct arena *arena)
{
    if (tide_os_resident_bytes(arena) + MOST_MISSING_BYTES < TIDE_HUGE_PAGE_BYTES ||
        !tide_store_may_patch(arena->range) ||
        !tide_os_ask_huge_pages(arena, TIDE_HUGE_PAGE_BYTES))
        return false;
    tide_os_collapse(arena, TIDE_HUGE_PAGE_BYTES);
    return true;
}

/* Under the arena's lock, given up meanwhile: whether it was made huge. */
static bool examine(struct arena *arena)
{
    bool is_huge = is_allocated(arena);

    if (is_huge) {
        set(arena, ARENA_CHANGING, true);
        tide_unlock(tide_arena_lock(arena));
        is_huge = make_huge(arena);
        tide_lock(tide_arena_lock(arena));
        set(arena, ARENA_CHANGING, false);
    }
    set(arena, is_huge ? ARENA_HUGE : ARENA_WANTING, true);
    return is_huge;
}

void tide_huge_look_at(struct tide_huge_look *look, struct arena *arena)
{
    if (!is_seeking() || tide_reserve_has(arena))
        return;
    tide_lock(tide_arena_lock(arena));
    if (note_full(look, arena) && tide_os_huge_pages() != TIDE_HUGE_PAGES_NEVER) {
        if (look->tries == 0)
            look->waiting_bytes += TIDE_HUGE_PAGE_BYTES;
        else
            look->tries = examine(arena) ? 0 : look->tries - 1;
    }
    tide_unlock(tide_arena_lock(arena));
}
