/* arena/shard.h - a group of arenas, listed by how many slots they have free
 *
 * The arena manager's inside.
 *
 * Locks: arena, then its shard; against that order only by trylock.  The bucket
 * lists, their nonempty bits and tenants are guarded by the shard's lock;
 * arena->bucket is written under both locks, so either suffices to read it.
 * Whoever holds neither may use an arena only as its tenant or while a block in
 * it is allocated.
 *
 * Buckets: 0 for arenas without a free slot, 1 to 16 for those with some,
 * BUCKET_EMPTY for those with nothing else.
 */
#ifndef TIDE_ARENA_SHARD_H
#define TIDE_ARENA_SHARD_H

#include <stdbool.h>

#include "arena/arena.h"

enum {
    SLOTS_PER_BUCKET = TIDE_SLOTS / 16,
    BUCKET_EMPTY = TIDE_SLOTS / SLOTS_PER_BUCKET + 1,
    BUCKETS,
    MOST_SHARDS = 64, /* at the start */
    MOST_NODES = 64,  /* which may each need one more */
};
_Static_assert(MOST_SHARDS <= UINT8_MAX, "arena->shard is one byte");

struct shard {
    _Alignas(TIDE_CACHE_LINE) struct tide_lock own_lock;
    struct tide_lock *lock;         /* own_lock, or the global one */
    struct arena *buckets[BUCKETS]; /* under lock */
    uint32_t nonempty;              /* under lock: bit n for bucket n */
    struct arena *_Atomic all;      /* under lock, read by walkers: every arena of the shard */
};

/* Constant after the start, but for what is in the shards; and shards are added
 * once the machine's memory nodes are known. */
extern struct shard tide_shards[MOST_SHARDS + MOST_NODES];
extern _Atomic unsigned tide_shard_count;
extern _Atomic unsigned tide_shard_homes; /* shards that heaps belong to, in all */

static inline struct shard *tide_shard_of(const struct arena *arena)
{
    return &tide_shards[arena->shard];
}

/* Every arena of a shard, under its lock or in a walk (walk.h). */
static inline struct arena *tide_shard_first(const struct shard *shard)
{
    return tide_acquire(&shard->all); /* pairs with the release in tide_shard_enlist */
}

static inline struct arena *tide_shard_next(const struct arena *arena)
{
    return tide_acquire(&arena->next_all); /* likewise */
}

/* The first bucket whose arenas may have so many slots free. */
static inline unsigned tide_shard_bucket_for(unsigned free_slots)
{
    return (free_slots + SLOTS_PER_BUCKET - 1) / SLOTS_PER_BUCKET;
}

/* Starts the shards from one number up to another, which is their count then.
 * At the start, or under the start lock. */
void tide_shard_start(unsigned from, unsigned count);

/* The bucket that an arena belongs in. */
unsigned tide_shard_bucket_of(const struct arena *arena);

/* Under the shard's lock (and, but for a new arena, the arena's): enters it in
 * the shard, moves it to its right bucket. */
void tide_shard_enlist(struct arena *arena);
void tide_shard_relist(struct arena *arena);

/* Under the arena's lock, which it gives up: the arena's free slots have
 * changed.  The arena may be gone after. */
void tide_shard_settle_and_unlock(struct arena *arena);

/* Takes back one tenancy; the arena may be gone after.  No locks held. */
void tide_shard_leave(struct arena *arena);

/* Under the shard's lock, given up meanwhile: waits until the arena's lock has
 * been free. */
void tide_shard_wait_for(struct shard *shard, struct arena *arena);

#endif
