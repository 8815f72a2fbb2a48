/* arena/huge_pages.h - which parts of arenas have transparent huge pages
 *
 * An arena is two units, each of a huge page's size (in classic geometry it is
 * smaller than one and has none).  Huge pages make a program faster, but a unit
 * that has few blocks would take 2 MiB all the same; so with TIDEPOOL_THP=auto
 * only units that stay full get one.  A look of the maintenance finds units
 *   - of which every slot was taken at the last look, too,
 *   - whose pools' blocks are nearly all allocated,
 *   - whose pages are nearly all resident: a huge page adds a few percent,
 * and makes one of them huge, unless there are more arenas than at the last look.
 * One that was found wanting is passed over for some looks.  Other looks, trims and
 * threads may use the arena meanwhile; while the kernel works at a unit no lock
 * is held and its slots aren't purged.
 *
 * Purging a part of a huge page splits it.  So a huge unit's free slots stay
 * until they are more than half of it, or until everything has to go; then the
 * unit is made ordinary, lest the kernel brings back what was purged.
 *
 * arena->units has the units' states; it changes under the arena's lock.
 */
#ifndef TIDE_ARENA_HUGE_PAGES_H
#define TIDE_ARENA_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/layout.h"
#include "arena/reserve.h"
#include "base/options.h"
#include "os/huge_pages.h"

enum {
    TIDE_UNITS = TIDE_ARENA_BYTES / TIDE_HUGE_PAGE_BYTES,
    TIDE_UNIT_SLOTS = TIDE_SLOTS / (TIDE_UNITS ? TIDE_UNITS : 1),
    TIDE_ALL_UNITS = (1 << TIDE_UNITS) - 1,
};
_Static_assert(TIDE_UNITS <= 2, "a unit's four states are four bits of arena->units");

/* States of a unit: bit n for unit n, shifted. */
enum tide_unit_state {
    UNIT_HUGE = 0,     /* has a huge page, or the kernel was asked for one */
    UNIT_FULL = 2,     /* no slot was free at the last look */
    UNIT_WANTING = 4,  /* full, but not worth a huge page when last examined */
    UNIT_CHANGING = 6, /* the kernel is at it */
};

/* The slots of a unit, without those of the header. */
static inline uint64_t tide_unit_slots(unsigned unit)
{
    return tide_bit_run(unit * TIDE_UNIT_SLOTS, TIDE_UNIT_SLOTS) & TIDE_ALL_FREE;
}

/* The units in that state, as bits.  Near without the lock. */
static inline unsigned tide_units_in(const struct arena *arena, enum tide_unit_state state)
{
    return tide_relaxed(&arena->units) >> state & TIDE_ALL_UNITS;
}

/* The kernel was asked for huge pages for these units.  No locks held. */
void tide_arena_note_huge(struct arena *arena, unsigned units);

/* Slots whose pages may be resident and could be returned: the dirty ones and
 * what else a huge page brought.  Near without the lock. */
uint64_t tide_arena_resident_slots(const struct arena *arena);

/* Of those, what a look returns once it is idle. */
uint64_t tide_arena_decaying_slots(const struct arena *arena);

/* Under the arena's lock: of the slots that are to be purged (and that are
 * claimed), those that may be; with is_all, all of them.  Units that have to be
 * ordinary for that are entered as such and in *units: the caller passes these to
 * tide_arena_make_ordinary before it purges, without the lock. */
uint64_t tide_arena_split_units_locked(struct arena *arena, uint64_t slots, bool is_all,
                                       unsigned *units);
void tide_arena_make_ordinary(struct arena *arena, unsigned units);

/* Whether so many bytes of the pool's, which no block is on, can go and are worth
 * it: in a huge unit more than half of the pool; the unit counts as ordinary then,
 * and *units is what has to be made so before.  Not in the reserve.  No locks of
 * arenas held. */
bool tide_arena_may_split_slow(struct pool *pool, size_t bytes, unsigned *units);
static inline bool tide_arena_may_split(struct pool *pool, size_t bytes, unsigned *units)
{
    const struct arena *arena = tide_arena_of(pool);
    unsigned special = tide_units_in(arena, UNIT_HUGE) | tide_units_in(arena, UNIT_CHANGING);

    *units = 0;
    return !tide_reserve_has(arena) &&
           (TIDE_LIKELY(special == 0) || tide_arena_may_split_slow(pool, bytes, units));
}

/* One look for units to make huge: begin, each arena, which the caller holds on
 * to, and end.  No locks held; one look at a time. */
struct tide_units_look {
    unsigned tries;       /* units that it may still examine */
    bool is_anew;         /* those found wanting, too */
    size_t waiting_bytes; /* of units that the next look is to examine */
};

struct tide_units_look tide_units_look_begin(void);
void tide_units_look_at(struct tide_units_look *look, struct arena *arena);
size_t tide_units_look_end(const struct tide_units_look *look); /* waiting_bytes */

/* Whether there are arenas that no look has seen. */
bool tide_units_look_is_due(void);

#endif
