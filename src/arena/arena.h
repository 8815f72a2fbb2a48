/* arena/arena.h - one arena: its memory, its slots and its lock
 *
 * Functions named _locked need the arena's lock.
 */
#ifndef TIDE_ARENA_ARENA_H
#define TIDE_ARENA_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "arena/layout.h"
#include "arena/reserve.h"

/* The one lock of all arenas and shards; NULL: each has its own.  Constant after the
 * start. */
extern TIDE_HIDDEN struct tide_lock *tide_arena_global_lock;

/* Arenas ever made, and those that are gone or retired. */
extern TIDE_HIDDEN _Atomic size_t tide_arena_created, tide_arena_released;

/* Free slots that have pages, of all arenas; near. */
extern TIDE_HIDDEN _Atomic size_t tide_arena_idle_slots;

static inline struct tide_lock *tide_arena_lock(struct arena *arena)
{
    return tide_arena_global_lock ? tide_arena_global_lock : &arena->lock;
}

/* Under the arena's lock: so many more free slots have pages; not those of the reserve,
 * which never go. */
static inline void tide_arena_count_idle(const struct arena *arena, size_t change)
{
    if (change != 0 && !tide_reserve_has(arena))
        atomic_fetch_add_explicit(&tide_arena_idle_slots, change, memory_order_relaxed);
}

/* How many free slots have pages. */
static inline unsigned tide_arena_idle(const struct arena *arena)
{
    return tide_bit_count(tide_relaxed(&arena->free) & tide_relaxed(&arena->dirty));
}

static inline unsigned tide_arena_free_slots(const struct arena *arena)
{
    return tide_bit_count(tide_relaxed(&arena->free));
}

/* A new arena with all slots free, of a shard, on a memory node.  NULL and ENOMEM when
 * there is no memory. */
struct arena *tide_arena_create(unsigned shard, unsigned node);

/* Gives it back to the store.  The caller has made sure that no one can reach the
 * arena. */
void tide_arena_destroy(struct arena *arena);

/* The same for one that is out of the address map. */
void tide_arena_unmap(struct arena *arena);

/* Whether so many free slots in a row have pages already; just now, without the
 * lock. */
bool tide_arena_has_resident(const struct arena *arena, unsigned slots);

/* Takes a run of free slots, TIDE_WIDE_SLOTS at most; it is POOL_RUN.  NULL when there
 * is none. */
struct pool *tide_arena_take_locked(struct arena *arena, unsigned slots);

/* Makes the run's slots free. */
void tide_arena_put_locked(struct arena *arena, struct pool *run);

void tide_arena_check_locked(const struct arena *arena);

#endif
