/* arena/huge_pages.c - see huge_pages.h */
#include "arena/huge_pages.h"

#include "arena/arena.h"
#include "arena/reserve.h"
#include "arena/shard.h"
#include "store/store.h"

enum {
    MOST_TRIES = 4,     /* units examined in a look, which ends when one is made huge */
    LOOKS_TO_REST = 16, /* until units found wanting are examined again */
};

/* The share of a unit that may be missing: a huge page adds it. */
#define MOST_MISSING_BYTES (TIDE_HUGE_PAGE_BYTES / 24)
_Static_assert(TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES < MOST_MISSING_BYTES,
               "most of the header's slot is missing in every unit 0");

static _Atomic uint32_t quiet_looks; /* that had few to examine, since all were */
static _Atomic size_t seen_created;  /* arenas made until the last look */
static _Atomic size_t seen_count;    /* those that there were then */

/* ---- States ------------------------------------------------------------ */

/* Under the arena's lock. */
static void set_units(struct arena *arena, enum tide_unit_state state, unsigned units)
{
    unsigned others = tide_relaxed(&arena->units) & ~((unsigned)TIDE_ALL_UNITS << state);

    tide_set_relaxed(&arena->units, (uint8_t)(others | units << state));
}

void tide_arena_note_huge(struct arena *arena, unsigned units)
{
    tide_lock(tide_shard_arena_lock(arena));
    set_units(arena, UNIT_HUGE, tide_units_in(arena, UNIT_HUGE) | units);
    tide_unlock(tide_shard_arena_lock(arena));
}

static char *unit_start(struct arena *arena, unsigned unit)
{
    return (char *)arena + (size_t)unit * TIDE_HUGE_PAGE_BYTES;
}

/* ---- Purging ----------------------------------------------------------- */

uint64_t tide_arena_resident_slots(const struct arena *arena)
{
    uint64_t dirty = tide_relaxed(&arena->dirty), resident = dirty;
    unsigned huge = tide_units_in(arena, UNIT_HUGE);

    if (tide_reserve_has(arena))
        return 0;
    for (unsigned unit = 0; huge >> unit != 0; unit++)
        if (huge >> unit & 1 && (unit == 0 || (dirty & tide_unit_slots(unit))))
            resident |= tide_unit_slots(unit);
    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++)
        if (tide_units_in(arena, UNIT_CHANGING) >> unit & 1)
            resident &= ~tide_unit_slots(unit);
    return resident;
}

/* Whether so many slots are worth splitting the unit's huge page. */
static bool are_most(uint64_t slots, unsigned unit)
{
    uint64_t of_unit = tide_unit_slots(unit);

    return 2 * tide_bit_count(slots & of_unit) > tide_bit_count(of_unit);
}

uint64_t tide_arena_decaying_slots(const struct arena *arena)
{
    uint64_t slots = tide_relaxed(&arena->free) & tide_arena_resident_slots(arena);
    unsigned huge = tide_units_in(arena, UNIT_HUGE);

    for (unsigned unit = 0; huge >> unit != 0; unit++)
        if (huge >> unit & 1 && !are_most(slots, unit))
            slots &= ~tide_unit_slots(unit);
    return slots;
}

uint64_t tide_arena_split_units_locked(struct arena *arena, uint64_t slots, bool is_all,
                                       unsigned *units)
{
    unsigned huge = tide_units_in(arena, UNIT_HUGE);

    *units = 0;
    for (unsigned unit = 0; huge >> unit != 0; unit++) {
        uint64_t of_unit = tide_unit_slots(unit);

        if (!(huge >> unit & 1) || (slots & of_unit) == 0)
            continue;
        if (is_all || are_most(slots, unit))
            *units |= 1u << unit;
        else
            slots &= ~of_unit;
    }
    set_units(arena, UNIT_HUGE, huge & ~*units);
    return slots;
}

void tide_arena_make_ordinary(struct arena *arena, unsigned units)
{
    for (unsigned unit = 0; units >> unit != 0; unit++)
        if (units >> unit & 1)
            tide_os_refuse_huge_pages(unit_start(arena, unit), TIDE_HUGE_PAGE_BYTES);
}

bool tide_arena_may_split_slow(struct pool *pool, size_t bytes, unsigned *ordinary)
{
    struct arena *arena = tide_arena_of(pool);
    unsigned first = tide_pool_slot(pool), last = first + pool->slots - 1;
    unsigned units = 1u << first / TIDE_UNIT_SLOTS | 1u << last / TIDE_UNIT_SLOTS, huge;
    bool may_split;

    tide_lock(tide_shard_arena_lock(arena));
    huge = units & tide_units_in(arena, UNIT_HUGE);
    may_split = (units & tide_units_in(arena, UNIT_CHANGING)) == 0 &&
                (huge == 0 || 2 * bytes > tide_pool_bytes(pool));
    if (may_split)
        set_units(arena, UNIT_HUGE, tide_units_in(arena, UNIT_HUGE) & ~huge);
    tide_unlock(tide_shard_arena_lock(arena));
    *ordinary = may_split ? huge : 0;
    return may_split;
}

/* ---- Looking ----------------------------------------------------------- */

static bool is_seeking(void)
{
    return TIDE_UNITS > 0 && tide_options.thp != TIDE_THP_NEVER;
}

struct tide_units_look tide_units_look_begin(void)
{
    size_t created = tide_relaxed(&tide_shard_created);
    size_t count = created - tide_relaxed(&tide_shard_released);
    bool is_growing = count > tide_relaxed(&seen_count); /* and has no time to spare */

    tide_set_relaxed(&seen_count, count);
    tide_set_relaxed(&seen_created, created);
    return (struct tide_units_look){
        .tries = is_growing ? 0 : MOST_TRIES,
        .is_anew = tide_relaxed(&quiet_looks) == LOOKS_TO_REST,
    };
}

size_t tide_units_look_end(const struct tide_units_look *look)
{
    if (look->is_anew)
        tide_set_relaxed(&quiet_looks, 0);
    else if (look->tries > 0)
        tide_count(&quiet_looks, 1);
    return look->waiting_bytes;
}

bool tide_units_look_is_due(void)
{
    return is_seeking() && tide_relaxed(&seen_created) != tide_relaxed(&tide_shard_created);
}

/* Under the arena's lock: notes which units are full.  Those that were so at the
 * last look and are worth examining. */
static unsigned note_full(struct tide_units_look *look, struct arena *arena)
{
    unsigned before = tide_units_in(arena, UNIT_FULL), full = 0, open;
    uint64_t slots = tide_arena_slots(arena), taken = slots & ~tide_relaxed(&arena->free);

    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++)
        if ((taken & tide_unit_slots(unit)) == tide_unit_slots(unit))
            full |= 1u << unit;
    set_units(arena, UNIT_FULL, full);
    set_units(arena, UNIT_WANTING,
              look->is_anew ? 0 : full & tide_units_in(arena, UNIT_WANTING));
    open = full & ~tide_units_in(arena, UNIT_WANTING) & ~tide_units_in(arena, UNIT_HUGE);
    look->waiting_bytes += (size_t)tide_bit_count(open & ~before) * TIDE_HUGE_PAGE_BYTES;
    return open & before;
}

/* Under the arena's lock: whether at least seven eighths of what the unit's
 * pools carved is allocated, and no slot is being purged or in a heap's stock. */
static bool is_allocated(struct arena *arena, unsigned unit)
{
    size_t slots = 0, allocated = 0;

    for (uint64_t rest = tide_unit_slots(unit); rest != 0; rest &= rest - 1) {
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

/* Whether the unit has a huge page now, or will have. */
static bool make_huge(struct arena *arena, char *start)
{
    if (tide_os_resident_bytes(start) + MOST_MISSING_BYTES < TIDE_HUGE_PAGE_BYTES ||
        !tide_store_may_patch(arena->range) ||
        !tide_os_ask_huge_pages(start, TIDE_HUGE_PAGE_BYTES))
        return false;
    tide_os_collapse(start, TIDE_HUGE_PAGE_BYTES);
    return true;
}

/* Under the arena's lock, given up meanwhile: whether it was made huge. */
static bool examine(struct arena *arena, unsigned unit)
{
    unsigned bit = 1u << unit;
    bool is_huge = is_allocated(arena, unit);

    if (is_huge) {
        set_units(arena, UNIT_CHANGING, bit);
        tide_unlock(tide_shard_arena_lock(arena));
        is_huge = make_huge(arena, unit_start(arena, unit));
        tide_lock(tide_shard_arena_lock(arena));
        set_units(arena, UNIT_CHANGING, 0);
    }
    if (is_huge)
        set_units(arena, UNIT_HUGE, tide_units_in(arena, UNIT_HUGE) | bit);
    else
        set_units(arena, UNIT_WANTING, tide_units_in(arena, UNIT_WANTING) | bit);
    return is_huge;
}

void tide_units_look_at(struct tide_units_look *look, struct arena *arena)
{
    unsigned units;

    if (!is_seeking() || tide_reserve_has(arena))
        return;
    tide_lock(tide_shard_arena_lock(arena));
    units = note_full(look, arena);
    if (units != 0 && tide_os_huge_pages() == TIDE_HUGE_PAGES_NEVER)
        units = 0;
    for (unsigned unit = 0; units >> unit != 0; unit++) {
        if (!(units >> unit & 1))
            continue;
        if (look->tries == 0) {
            look->waiting_bytes += TIDE_HUGE_PAGE_BYTES;
            continue;
        }
        look->tries = examine(arena, unit) ? 0 : look->tries - 1;
    }
    tide_unlock(tide_shard_arena_lock(arena));
}
