/* arena/walk.h - reading all arenas without holding up their use
 *
 * A walk reads descriptors, as atomics and without locks, and changes nothing; to
 * change arenas there is tide_arena_next.  Under RCU (os/rcu.h) it takes no lock
 * and holds on to nothing: an arena that goes meanwhile is taken out of the list
 * and loses its slots' pages at once, its header and address space when no walk
 * that may be at it is left.  Without liburcu it goes by tenancies.
 *
 * Such arenas wait until there is a moment without any walk, which is looked for
 * when one ends, when another arena goes, and by maintenance and malloc_trim; or,
 * where walks overlap, for a grace period, by a thread of maintenance.
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

/* ---- Arenas that wait for walks ---------------------------------------- */

/* Gives back an arena that is no longer listed, now or when no walk can be at it.
 * No lock of the arena manager's held. */
void tide_walk_destroy(struct arena *arena);

/* Unmaps those that wait, if there is no walk just now.  How many go on waiting.
 * Never waits for a walk. */
size_t tide_walk_reclaim(void);

/* Unmaps those that wait, when the walks of now have ended: for one thread at a
 * time that has nothing else to do, walks not and holds no lock. */
void tide_walk_outwait(void);

size_t tide_walk_waiting(void);

/* For fork. */
struct tide_lock *tide_walk_lock(void);
void tide_walk_before_fork(void);
void tide_walk_after_fork_in_child(void);

/* In a fork child that the lock was not taken for: the arenas that waited are lost. */
void tide_walk_forget(void);

#endif
