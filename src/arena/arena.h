/* arena/arena.h - one arena: a mapping, its slots and its lock
 *
 * Functions named _locked need the arena's lock.
 */
#ifndef TIDE_ARENA_ARENA_H
#define TIDE_ARENA_ARENA_H

#include <stdbool.h>

#include "arena/layout.h"

/* Free slots of all arenas that have pages which can go; near. */
extern _Atomic size_t tide_arena_idle_slots;

/* Under the arena's lock: these slots are so now, or no more. */
void tide_arena_count_idle(const struct arena *arena, uint64_t more, uint64_t fewer);

/* A new arena with all slots free and clean.  NULL and ENOMEM when there is no
 * memory. */
struct arena *tide_arena_create(unsigned shard);

/* Gives the whole mapping back.  The caller has made sure that no one can
 * reach the arena. */
void tide_arena_destroy(struct arena *arena);

/* Gives back the mapping of one that is out of the address map. */
void tide_arena_unmap(struct arena *arena);

/* Whether so many free slots in a row have pages already; just now, without the
 * lock. */
bool tide_arena_has_resident(const struct arena *arena, unsigned slots);

/* Takes a run of free slots whose first is a multiple of alignment (in slots,
 * a power of two); the run is POOL_RUN.  NULL when there is none. */
struct pool *tide_arena_take_locked(struct arena *arena, unsigned slots, unsigned alignment);

/* Makes the run's slots free. */
void tide_arena_put_locked(struct arena *arena, struct pool *run);

/* Changes the length of a run where it is.  False when a slot that it would
 * grow into is not free. */
bool tide_arena_resize_locked(struct arena *arena, struct pool *run, unsigned slots);

static inline unsigned tide_arena_free_slots(const struct arena *arena)
{
    return tide_bit_count(tide_relaxed(&arena->free));
}

void tide_arena_check_locked(const struct arena *arena);

#endif
