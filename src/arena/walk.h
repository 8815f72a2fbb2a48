/* arena/walk.h - reading all arenas without holding up their use
 *
 * A walk reads descriptors, as atomics and without locks, and changes nothing; to
 * change arenas there is tide_arena_next.  Under RCU (os/rcu.h) it takes no lock
 * and holds on to nothing: for what goes meanwhile see retired.h.  Without liburcu
 * it goes by tenancies.
 */
#ifndef TIDE_ARENA_WALK_H
#define TIDE_ARENA_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/layout.h"

struct tide_walk {
    struct arena *at; /* NULL before the first and after the last */
    unsigned shard;
    bool is_free;     /* under RCU, not by tenancies */
};

/* No locks held, as the first walk loads liburcu; the thread may hold some when it
 * goes on and ends.  Every walk is ended, by the thread that began it. */
void tide_walk_begin(struct tide_walk *walk);

/* The next arena, which stays readable until the walk's end (by tenancies: until
 * the next step); NULL after the last.  Others come and go. */
struct arena *tide_walk_next(struct tide_walk *walk);

void tide_walk_end(struct tide_walk *walk);

/* Walks all arenas to change them: NULL gives the first; NULL ends it.  The arena
 * walked to stays until the next call, as its caller's tenancy; others come and go. */
struct arena *tide_arena_next(struct arena *arena);

#endif
