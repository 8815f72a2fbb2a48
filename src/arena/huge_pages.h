/* arena/huge_pages.h - which arenas have transparent huge pages
 *
 * Huge pages make a program faster, but an arena that has few blocks would take 2 MiB
 * all the same; so with TIDEPOOL_THP=auto only arenas that stay full get one.  A look
 * for idle memory finds those
 *   - of which every slot was taken at the last look, too,
 *   - whose pools' blocks are nearly all allocated,
 *   - whose pages are nearly all resident: a huge page adds a few percent,
 * and makes one of them huge, unless there are more arenas than at the last look.
 * One that was found wanting is passed over for some looks.  Other looks, trims and
 * threads may use the arena meanwhile; while the kernel works at it no lock is held
 * and its slots aren't purged.
 *
 * Purging a part of a huge page splits it.  So a huge arena's free slots stay until
 * they are more than half of it, or until everything has to go; then the arena is
 * made ordinary, lest the kernel brings back what was purged.
 *
 * arena->huge changes under the arena's lock.
 */
#ifndef TIDE_ARENA_HUGE_PAGES_H
#define TIDE_ARENA_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/layout.h"
#include "arena/reserve.h"

/* Slots whose pages may be resident and could be returned: the dirty ones and
 * what else a huge page brought.  Near without the lock. */
uint64_t tide_arena_resident_slots(const struct arena *arena);

/* Of those, what a look returns once it is idle. */
uint64_t tide_arena_decaying_slots(const struct arena *arena);

/* Under the arena's lock: of the slots that are to be purged (and that are claimed),
 * those that may be; with is_all, all of them.  If the arena has to be ordinary for
 * that it is entered as such, and *is_split: the caller makes it ordinary before it
 * purges, without the lock. */
uint64_t tide_arena_split_locked(struct arena *arena, uint64_t slots, bool is_all, bool *is_split);
void tide_arena_make_ordinary(struct arena *arena);

/* Whether so many bytes of the pool's, which no block is on, can go and are worth
 * it: in a huge arena more than half of the pool; then *is_split, as above.  Not in
 * the reserve.  No locks of arenas held. */
bool tide_arena_may_split_slow(struct pool *pool, size_t bytes, bool *is_split);
static inline bool tide_arena_may_split(struct pool *pool, size_t bytes, bool *is_split)
{
    const struct arena *arena = tide_arena_of(pool);

    *is_split = false;
    return !tide_reserve_has(arena) &&
           (TIDE_LIKELY(!tide_arena_is(arena, ARENA_HUGE | ARENA_CHANGING)) ||
            tide_arena_may_split_slow(pool, bytes, is_split));
}

/* One look for arenas to make huge: begin, each arena, which the caller holds on
 * to, and end.  No locks held; one look at a time. */
struct tide_huge_look {
    unsigned tries;       /* arenas that it may still examine */
    bool is_anew;         /* those found wanting, too */
    size_t waiting_bytes; /* of arenas that the next look is to examine */
};

struct tide_huge_look tide_huge_look_begin(void);
void tide_huge_look_at(struct tide_huge_look *look, struct arena *arena);
size_t tide_huge_look_end(const struct tide_huge_look *look); /* waiting_bytes */

/* Whether there are arenas that no look has seen. */
bool tide_huge_look_is_due(void);

#endif
