/* arena/retired.h - arenas that are gone but for walks that may be at them
 *
 * An arena that goes while somebody walks (walk.h) has been taken out of the list, and
 * loses its slots' pages at once, its header and address space when no walk that may
 * be at it is left.
 *
 * It waits until there is a moment without any walk, which is looked for when one
 * ends, when another arena goes, and by maintenance and malloc_trim; or, where walks
 * overlap, for a grace period, by a thread of maintenance.
 */
#ifndef TIDE_ARENA_RETIRED_H
#define TIDE_ARENA_RETIRED_H

#include <stddef.h>

struct arena;
struct tide_lock;

/* Gives back an arena that is no longer listed, now or when no walk can be at it.
 * No lock of the arena manager's held. */
void tide_retired_add(struct arena *arena);

/* Unmaps those that wait, if there is no walk just now.  How many go on waiting.
 * Never waits for a walk. */
size_t tide_retired_reclaim(void);

/* Unmaps those that wait, when the walks of now have ended: for one thread at a
 * time that has nothing else to do, walks not and holds no lock. */
void tide_retired_outwait(void);

size_t tide_retired_count(void);

/* For fork. */
struct tide_lock *tide_retired_lock(void);
void tide_retired_before_fork(void);
void tide_retired_after_fork_in_child(void);

/* In a fork child that the lock was not taken for: the arenas that waited are lost. */
void tide_retired_forget(void);

#endif
