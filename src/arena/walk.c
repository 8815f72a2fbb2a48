/* arena/walk.c - see walk.h */
#include "arena/walk.h"

#include "arena/retired.h"
#include "arena/shard.h"
#include "os/rcu.h"

/* ---- To change arenas ---------------------------------------------------- */

/* The first arena at or after arena in the shard or a later one, held. */
static struct arena *hold_from(struct arena *arena, unsigned shard)
{
    for (;; arena = tide_shard_first(&tide_shards[shard])) {
        if (arena) {
            arena->tenants++;
            tide_unlock(tide_shards[shard].lock);
            return arena;
        }
        tide_unlock(tide_shards[shard].lock);
        if (++shard == tide_shard_count)
            return NULL;
        tide_lock(tide_shards[shard].lock);
    }
}

struct arena *tide_arena_next(struct arena *arena)
{
    unsigned shard = arena ? arena->shard : 0;
    struct arena *next;

    tide_lock(tide_shards[shard].lock);
    next = hold_from(arena ? tide_shard_next(arena) : tide_shard_first(&tide_shards[0]), shard);
    if (arena)
        tide_shard_leave(arena);
    return next;
}

/* ---- To read them -------------------------------------------------------- */

void tide_walk_begin(struct tide_walk *walk)
{
    *walk = (struct tide_walk){ .is_free = tide_rcu_enter() };
}

static struct arena *step(struct tide_walk *walk)
{
    struct arena *next;

    if (walk->shard == tide_shard_count)
        return NULL;
    next = walk->at ? tide_shard_next(walk->at) : tide_shard_first(&tide_shards[walk->shard]);
    while (!next && ++walk->shard < tide_shard_count)
        next = tide_shard_first(&tide_shards[walk->shard]);
    return next;
}

struct arena *tide_walk_next(struct tide_walk *walk)
{
    walk->at = walk->is_free ? step(walk) : tide_arena_next(walk->at);
    return walk->at;
}

void tide_walk_end(struct tide_walk *walk)
{
    if (walk->is_free) {
        tide_rcu_leave();
        tide_retired_reclaim();
    } else if (walk->at) {
        tide_shard_leave(walk->at);
    }
}
