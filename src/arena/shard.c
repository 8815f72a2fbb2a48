/* arena/shard.c - see shard.h */
#include "arena/shard.h"

#include "arena/huge_pages.h"
#include "arena/retired.h"
#include "os/huge_pages.h"

struct shard tide_shards[MOST_SHARDS + MOST_NODES];
_Atomic unsigned tide_shard_count = 1, tide_shard_homes = 1;

void tide_shard_start(unsigned from, unsigned count)
{
    for (struct shard *shard = tide_shards + from; shard < tide_shards + count; shard++) {
        tide_lock_reset(&shard->own_lock, false);
        shard->lock = tide_arena_global_lock ? tide_arena_global_lock : &shard->own_lock;
    }
    tide_shard_count = count;
}

/* ---- Buckets: all under the shard's lock ------------------------------- */

static inline unsigned bucket_of(const struct arena *arena)
{
    return tide_relaxed(&arena->free) == TIDE_ALL_FREE
               ? BUCKET_EMPTY
               : tide_shard_bucket_for(tide_arena_free_slots(arena));
}

unsigned tide_shard_bucket_of(const struct arena *arena)
{
    return bucket_of(arena);
}

static void link_arena(struct arena *arena, unsigned bucket)
{
    struct shard *shard = tide_shard_of(arena);

    arena->bucket = (uint8_t)bucket;
    arena->prev = NULL;
    arena->next = shard->buckets[bucket];
    if (arena->next)
        arena->next->prev = arena;
    shard->buckets[bucket] = arena;
    shard->nonempty |= 1u << bucket;
}

static void unlink_arena(struct arena *arena)
{
    struct shard *shard = tide_shard_of(arena);

    if (arena->next)
        arena->next->prev = arena->prev;
    if (arena->prev)
        arena->prev->next = arena->next;
    else
        shard->buckets[arena->bucket] = arena->next;
    if (!shard->buckets[arena->bucket])
        shard->nonempty &= ~(1u << arena->bucket);
}

void tide_shard_enlist(struct arena *arena)
{
    struct shard *shard = tide_shard_of(arena);
    struct arena *next = tide_shard_first(shard);

    tide_set_relaxed(&arena->next_all, next);
    arena->prev_all = NULL;
    if (next)
        next->prev_all = arena;
    tide_set_release(&shard->all, arena); /* pairs with the acquires of walkers */
    link_arena(arena, bucket_of(arena));
}

void tide_shard_relist(struct arena *arena)
{
    unsigned bucket = bucket_of(arena);

    if (bucket != arena->bucket) {
        unlink_arena(arena);
        link_arena(arena, bucket);
    }
}

/* Its own next_all stays: walkers may be at it. */
static void delist(struct arena *arena)
{
    struct arena *next = tide_shard_next(arena);

    if (next)
        next->prev_all = arena->prev_all;
    if (arena->prev_all)
        tide_set_release(&arena->prev_all->next_all, next);
    else
        tide_set_release(&tide_shard_of(arena)->all, next);
    unlink_arena(arena);
}

/* ---- Release ----------------------------------------------------------- */

/* Takes the arena out if nobody needs it. */
static bool delist_empty(struct arena *arena)
{
    bool is_to_go = arena->bucket == BUCKET_EMPTY && arena->tenants == 0;

    if (is_to_go)
        delist(arena);
    return is_to_go;
}

static void release(struct arena *arena)
{
    tide_arena_count_idle(arena, -(size_t)tide_arena_idle(arena));
    atomic_fetch_add_explicit(&tide_arena_released, 1, memory_order_relaxed);
    if (tide_arena_is(arena, ARENA_HUGE) && !tide_os_has_huge_pages())
        tide_arena_make_ordinary(arena);
    tide_retired_add(arena);
}

void tide_shard_settle_and_unlock(struct arena *arena)
{
    struct shard *shard = tide_shard_of(arena);
    bool is_to_go = false;

    if (TIDE_DEBUG)
        tide_arena_check_locked(arena);
    if (bucket_of(arena) != arena->bucket) {
        tide_lock(shard->lock);
        tide_shard_relist(arena);
        is_to_go = delist_empty(arena);
        tide_unlock(shard->lock);
    }
    tide_unlock(tide_arena_lock(arena));
    if (is_to_go)
        release(arena);
}

/* ---- Tenancies --------------------------------------------------------- */

void tide_shard_leave(struct arena *arena)
{
    struct shard *shard = tide_shard_of(arena);
    bool is_to_go;

    tide_lock(tide_arena_lock(arena));
    tide_lock(shard->lock);
    arena->tenants--;
    is_to_go = delist_empty(arena);
    tide_unlock(shard->lock);
    tide_unlock(tide_arena_lock(arena));
    if (is_to_go)
        release(arena);
}

void tide_shard_wait_for(struct shard *shard, struct arena *arena)
{
    arena->tenants++;
    tide_unlock(shard->lock);
    tide_lock(tide_arena_lock(arena));
    tide_unlock(tide_arena_lock(arena));
    tide_shard_leave(arena);
    tide_lock(shard->lock);
}
