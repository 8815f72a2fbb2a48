/* arena/reserve.h - arenas from the kernel's pool of huge pages
 *
 * TIDEPOOL_HUGETLB=bytes: so much is set aside, in one mapping, when the first
 * arena is needed, and arenas are made of it before any other.  They are never
 * purged: their pages would go back to the pool, where someone else may take
 * them.  An arena that goes comes back to the reserve as it is.  Without enough
 * pages in the pool one line says so and there is no reserve.
 *
 * The pages are promised to the process, not to children it forks.  These share
 * them until one of the two writes; then another page of the pool is needed, and
 * a child that can't have it is killed (SIGBUS).  So a fork warns when the pool
 * has fewer than are in use, and a child makes no new arena without its pages.
 *
 * Its lock comes after those of arenas and shards.
 */
#ifndef TIDE_ARENA_RESERVE_H
#define TIDE_ARENA_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/options.h"

struct arena;
struct tide_lock;

struct tide_reserve_totals {
    size_t bytes, arenas, arenas_in_use; /* arenas: how many it has room for */
};

extern TIDE_HIDDEN char *_Atomic tide_reserve_start, *_Atomic tide_reserve_end;

/* An arena's memory, its header zero but for dirty, which tells which slots are
 * not.  NULL: none is left. */
struct arena *tide_reserve_take_slow(void);
static inline struct arena *tide_reserve_take(void)
{
    return TIDE_LIKELY(tide_options.hugetlb == 0) ? NULL : tide_reserve_take_slow();
}

/* Takes an arena back that nobody can reach.  False when it isn't from here. */
bool tide_reserve_put(struct arena *arena);

static inline bool tide_reserve_has(const struct arena *arena)
{
    return (const char *)arena >= tide_relaxed(&tide_reserve_start) &&
           (const char *)arena < tide_relaxed(&tide_reserve_end);
}

struct tide_reserve_totals tide_reserve_totals(void);

/* For fork: warns, once, when the pool has too few pages for a child. */
void tide_reserve_before_fork(void);
struct tide_lock *tide_reserve_lock(void);

#endif
