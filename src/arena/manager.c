/* arena/manager.c - see manager.h: starting, taking and putting back.  The locks
 * are explained in shard.h. */
#include "arena/manager.h"

#include <errno.h>
#include <limits.h>

#include "arena/arena.h"
#include "arena/nodes.h"
#include "arena/shard.h"

enum { MOST_TRIES = 4 }; /* arenas of each bucket that are looked into before a new one is made */

static struct tide_lock global_lock = TIDE_LOCK_RECURSIVE_INITIALIZER;

void tide_arena_start(unsigned shards, bool is_lock_global)
{
    tide_shard_global_lock = is_lock_global ? &global_lock : NULL;
    tide_shard_start(0, shards < 1 ? 1 : shards > MOST_SHARDS ? MOST_SHARDS : shards);
    tide_set_relaxed(&tide_shard_homes, tide_shard_count);
}

void tide_arena_limit_homes(unsigned most)
{
    if (most > 0 && most < tide_relaxed(&tide_shard_homes))
        tide_set_relaxed(&tide_shard_homes, most);
}

struct tide_lock *tide_arena_global_lock(void)
{
    return tide_shard_global_lock;
}

void tide_arena_leave(struct tide_tenant *tenant)
{
    if (tenant->arena)
        tide_shard_leave(tenant->arena);
    tenant->arena = NULL;
}

/* ---- Taking ------------------------------------------------------------ */

/* Longer runs are taken wherever they fit; only pools make a heap a tenant. */
static bool is_for_pools(unsigned slots)
{
    return slots <= TIDE_WIDE_SLOTS;
}

/* With is_resident, only if it has slots whose pages are resident. */
static struct pool *take_from_home(struct tide_tenant *tenant, unsigned slots, unsigned alignment,
                                   bool is_resident)
{
    struct arena *arena = tenant->arena;
    struct pool *run;

    if (!arena || (is_resident && !tide_arena_has_resident(arena, slots)) ||
        !tide_lock_try(tide_shard_arena_lock(arena)))
        return NULL;
    run = tide_arena_take_locked(arena, slots, alignment);
    tide_shard_settle_and_unlock(arena);
    return run;
}

/* Under the shard's lock. */
static struct pool *take_from_arena(struct arena *arena, unsigned slots, unsigned alignment,
                                    bool is_tenancy)
{
    struct pool *run = tide_arena_take_locked(arena, slots, alignment);

    if (run) {
        tide_shard_relist(arena);
        arena->tenants += is_tenancy;
    }
    tide_unlock(tide_shard_arena_lock(arena));
    return run;
}

/* Which arenas are looked into. */
enum effort {
    RESIDENT, /* a few, where memory that is resident anyway is free */
    FEW,
    ALL, /* as a last resort; busy ones are waited for */
};

/* Under the shard's lock: a run from the fullest arena that suits and whose lock is
 * free.  The lower a bucket's number, the fuller its arenas.  *busy becomes the last one
 * that was passed over. */
static struct pool *take_from_free(struct shard *shard, unsigned slots, unsigned alignment,
                                   enum effort effort, struct arena **busy)
{
    uint32_t buckets = shard->nonempty & (~0u << tide_shard_bucket_for(slots));
    unsigned most = effort == ALL ? UINT_MAX : MOST_TRIES;
    struct pool *run = NULL;

    for (; !run && buckets != 0; buckets &= buckets - 1) {
        struct arena *arena = shard->buckets[tide_lowest_bit(buckets)];

        for (unsigned tries = 0; !run && arena && tries < most; tries++, arena = arena->next) {
            if (effort == RESIDENT && !tide_arena_has_resident(arena, slots))
                continue;
            if (tide_lock_try(tide_shard_arena_lock(arena)))
                run = take_from_arena(arena, slots, alignment, is_for_pools(slots));
            else
                *busy = arena;
        }
    }
    return run;
}

static struct pool *take_from_shard(struct shard *shard, unsigned slots, unsigned alignment,
                                    enum effort effort)
{
    struct pool *run;

    tide_lock(shard->lock);
    for (;;) {
        struct arena *busy = NULL;

        run = take_from_free(shard, slots, alignment, effort, &busy);
        if (run || !busy || effort != ALL)
            break;
        tide_shard_wait_for(shard, busy);
    }
    tide_unlock(shard->lock);
    return run;
}

static struct pool *take_from_new(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct arena *arena = tide_arena_create(tenant->shard, slots, alignment);
    struct pool *run;

    if (!arena)
        return NULL;
    atomic_fetch_add_explicit(&tide_shard_created, 1, memory_order_relaxed);
    run = tide_arena_take_locked(arena, slots, alignment); /* no one else can see it */
    arena->tenants = is_for_pools(slots);
    tide_lock(tide_shard_of(arena)->lock);
    tide_shard_enlist(arena);
    tide_unlock(tide_shard_of(arena)->lock);
    return run;
}

static struct pool *take_from_half(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct arena *arena = tide_shard_claim_half();
    struct pool *run;
    bool is_zero;

    if (!arena)
        return NULL;
    if (tide_arena_node(arena) != tide_arena_home_node(tenant) ||
        !tide_arena_would_suit(arena, slots, alignment)) {
        tide_shard_unclaim_half(arena);
        return NULL;
    }
    if (!tide_arena_map_rest(arena, &is_zero)) {
        tide_shard_leave(arena); /* and nobody tries again */
        return NULL;
    }
    tide_lock(tide_shard_arena_lock(arena));
    tide_arena_add_rest_locked(arena, is_zero);
    run = tide_arena_take_locked(arena, slots, alignment);
    tide_shard_settle_and_unlock(arena);
    if (!run || !is_for_pools(slots))
        tide_shard_leave(arena);
    return run;
}

/* Of other nodes only as a last resort. */
static struct pool *take_from_all(struct tide_tenant *tenant, unsigned slots, unsigned alignment,
                                  enum effort effort)
{
    unsigned group = tide_nodes_group(), count = effort == ALL ? tide_shard_count : group;
    struct pool *run = NULL;

    for (unsigned n = 0; n < count && !run; n++)
        run = take_from_shard(&tide_shards[tide_nodes_nth_shard(tenant->shard, n, group)], slots,
                              alignment, effort);
    return run;
}

struct pool *tide_arena_take_run(struct tide_tenant *tenant, unsigned slots, unsigned alignment)
{
    struct pool *run;
    int saved_errno = errno;

    tide_nodes_follow(tenant);
    run = take_from_home(tenant, slots, alignment, true);
    if (run)
        return run;
    run = take_from_shard(&tide_shards[tenant->shard], slots, alignment, RESIDENT);
    if (!run && (run = take_from_home(tenant, slots, alignment, false)))
        return run;
    if (!run)
        run = take_from_all(tenant, slots, alignment, FEW);
    if (!run)
        run = take_from_half(tenant, slots, alignment);
    if (!run)
        run = take_from_new(tenant, slots, alignment);
    if (!run) {
        run = take_from_all(tenant, slots, alignment, ALL);
        errno = run ? saved_errno : ENOMEM;
    }
    if (run && is_for_pools(slots)) {
        tide_arena_leave(tenant);
        tenant->arena = tide_arena_of(run);
    }
    return run;
}

void tide_arena_put_run(struct pool *run)
{
    struct arena *arena = tide_arena_of(run);

    tide_lock(tide_shard_arena_lock(arena));
    tide_arena_put_locked(arena, run);
    tide_shard_settle_and_unlock(arena);
}
