/* arena/arena.h - one arena: a mapping, its slots and its lock
 *
 * The first arena that the process maps is a half arena, if that will do: the range
 * is chosen for a whole one and only its first unit mapped, as small programs need no
 * more and what is mapped counts for mlockall.  The slots of the other unit are neither free nor
 * taken, and its range may become anybody's, so the address map calls it foreign
 * (tide_map_hole, which changes under the arena's lock, or where no one can reach
 * the arena).  It is mapped once more slots are needed, if nothing came there.
 *
 * Functions named _locked need the arena's lock.
 */
#ifndef TIDE_ARENA_ARENA_H
#define TIDE_ARENA_ARENA_H

#include <stdbool.h>

#include "arena/address_map.h"
#include "arena/layout.h"
#include "arena/manager.h"
#include "arena/reserve.h"

/* Under the arena's lock: so many more free slots have pages; not those of the reserve,
 * which never go. */
static inline void tide_arena_count_idle(const struct arena *arena, size_t change)
{
    if (change != 0 && !tide_reserve_has(arena))
        atomic_fetch_add_explicit(&tide_arena_idle_slots, change, memory_order_relaxed);
}

/* A new arena with all slots free and clean, in which a run of so many slots fits.
 * NULL and ENOMEM when there is no memory. */
struct arena *tide_arena_create(unsigned shard, unsigned slots, unsigned alignment);

static inline bool tide_arena_is_half(const struct arena *arena)
{
    return TIDE_UNLIKELY(tide_relaxed(&tide_map_hole) == (uintptr_t)arena + TIDE_ARENA_BYTES / 2);
}

/* Those of its slots that there are, but the header's. */
static inline uint64_t tide_arena_slots(const struct arena *arena)
{
    return tide_arena_is_half(arena) ? TIDE_HALF_FREE : TIDE_ALL_FREE;
}

/* That are mapped. */
static inline size_t tide_arena_bytes(const struct arena *arena)
{
    return tide_arena_is_half(arena) ? TIDE_ARENA_BYTES / 2 : TIDE_ARENA_BYTES;
}

/* Whether a run would fit in a half arena once it is whole; just now, without the
 * lock. */
bool tide_arena_would_suit(const struct arena *arena, unsigned slots, unsigned alignment);

/* Maps the rest of a half arena, whose tenant the caller is.  False when there is no
 * memory, or something is there. */
bool tide_arena_map_rest(struct arena *arena, bool *is_zero);

/* The slots of the rest are free. */
void tide_arena_add_rest_locked(struct arena *arena, bool is_zero);

/* Gives it back to the store.  The caller has made sure that no one can reach the
 * arena. */
void tide_arena_destroy(struct arena *arena);

/* The same for one that is out of the address map. */
void tide_arena_unmap(struct arena *arena);

/* Whether so many free slots in a row have pages already; just now, without the
 * lock. */
bool tide_arena_has_resident(const struct arena *arena, unsigned slots);

/* Takes a run of free slots whose first is a multiple of alignment (in slots,
 * a power of two); the run is POOL_RUN.  NULL when there is none. */
struct pool *tide_arena_take_locked(struct arena *arena, unsigned slots, unsigned alignment);

/* Makes the run's slots free. */
void tide_arena_put_locked(struct arena *arena, struct pool *run);

static inline unsigned tide_arena_free_slots(const struct arena *arena)
{
    return tide_bit_count(tide_relaxed(&arena->free));
}

void tide_arena_check_locked(const struct arena *arena);

#endif
