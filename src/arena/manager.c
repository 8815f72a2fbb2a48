/* arena/manager.c - see manager.h: starting, taking and putting back.  The locks
 * are explained in shard.h. */
#include "arena/manager.h"

#include <errno.h>
#include <limits.h>

#include "arena/nodes.h"
#include "arena/shard.h"
#include "machine/cpu.h"

enum {
    MOST_TRIES = 4,      /* arenas of each bucket that are looked into before a new one is made */
    TAKES_PER_LOOK = 16, /* runs that a tenant takes before its CPU is looked at again */
};

static struct tide_lock global_lock = TIDE_LOCK_RECURSIVE_INITIALIZER;

void tide_arena_start(unsigned shards, bool is_lock_global)
{
    tide_arena_global_lock = is_lock_global ? &global_lock : NULL;
    tide_shard_start(0, shards < 1 ? 1 : shards > MOST_SHARDS ? MOST_SHARDS : shards);
    tide_set_relaxed(&tide_shard_homes, tide_shard_count);
}

void tide_arena_limit_homes(unsigned most)
{
    if (most > 0 && most < tide_relaxed(&tide_shard_homes))
        tide_set_relaxed(&tide_shard_homes, most);
}

/* ---- Tenants ------------------------------------------------------------- */

void tide_arena_leave(struct tide_tenant *tenant)
{
    if (tenant->arena)
        tide_shard_leave(tenant->arena);
    tenant->arena = NULL;
}

unsigned tide_arena_home_node(const struct tide_tenant *tenant)
{
    return tide_nodes_of_shard(tenant->shard);
}

void tide_arena_settle(struct tide_tenant *tenant, unsigned cpu)
{
    unsigned shard = tide_arena_shard_for_cpu(cpu);

    if (tenant->arena && tide_arena_node(tenant->arena) != tide_nodes_of_shard(shard))
        tide_arena_leave(tenant);
    tenant->shard = shard;
}

/* With several nodes: now and then finds out where the tenant's thread runs.  One that
 * stays on its node keeps its shard, whichever CPU it is on. */
static void follow(struct tide_tenant *tenant)
{
    unsigned cpu;

    if (tenant->takes++ % TAKES_PER_LOOK != 0)
        return;
    cpu = tide_machine_cpu_now();
    if (tide_machine_node_of_cpu(cpu) != tide_arena_home_node(tenant))
        tide_arena_settle(tenant, cpu);
}

/* ---- Taking ------------------------------------------------------------ */

/* With is_resident, only if it has slots whose pages are resident. */
static struct pool *take_from_home(struct tide_tenant *tenant, unsigned slots, bool is_resident)
{
    struct arena *arena = tenant->arena;
    struct pool *run;

    if (!arena || (is_resident && !tide_arena_has_resident(arena, slots)) ||
        !tide_lock_try(tide_arena_lock(arena)))
        return NULL;
    run = tide_arena_take_locked(arena, slots);
    tide_shard_settle_and_unlock(arena);
    return run;
}

/* Under the shard's lock: the taker becomes a tenant. */
static struct pool *take_from_arena(struct arena *arena, unsigned slots)
{
    struct pool *run = tide_arena_take_locked(arena, slots);

    if (run) {
        tide_shard_relist(arena);
        arena->tenants++;
    }
    tide_unlock(tide_arena_lock(arena));
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
static struct pool *take_from_free(struct shard *shard, unsigned slots, enum effort effort,
                                   struct arena **busy)
{
    uint32_t buckets = shard->nonempty & (~0u << tide_shard_bucket_for(slots));
    unsigned most = effort == ALL ? UINT_MAX : MOST_TRIES;
    struct pool *run = NULL;

    for (; !run && buckets != 0; buckets &= buckets - 1) {
        struct arena *arena = shard->buckets[tide_lowest_bit(buckets)];

        for (unsigned tries = 0; !run && arena && tries < most; tries++, arena = arena->next) {
            if (effort == RESIDENT && !tide_arena_has_resident(arena, slots))
                continue;
            if (tide_lock_try(tide_arena_lock(arena)))
                run = take_from_arena(arena, slots);
            else
                *busy = arena;
        }
    }
    return run;
}

static struct pool *take_from_shard(struct shard *shard, unsigned slots, enum effort effort)
{
    struct pool *run;

    tide_lock(shard->lock);
    for (;;) {
        struct arena *busy = NULL;

        run = take_from_free(shard, slots, effort, &busy);
        if (run || !busy || effort != ALL)
            break;
        tide_shard_wait_for(shard, busy);
    }
    tide_unlock(shard->lock);
    return run;
}

static struct pool *take_from_new(struct tide_tenant *tenant, unsigned slots)
{
    struct arena *arena = tide_arena_create(tenant->shard, tide_arena_home_node(tenant));
    struct pool *run;

    if (!arena)
        return NULL;
    run = tide_arena_take_locked(arena, slots); /* no one else can see it */
    arena->tenants = 1;
    tide_lock(tide_shard_of(arena)->lock);
    tide_shard_enlist(arena);
    tide_unlock(tide_shard_of(arena)->lock);
    return run;
}

/* Of other nodes only as a last resort. */
static struct pool *take_from_all(struct tide_tenant *tenant, unsigned slots, enum effort effort)
{
    unsigned group = tide_nodes_group(), count = effort == ALL ? tide_shard_count : group;
    struct pool *run = NULL;

    for (unsigned n = 0; n < count && !run; n++)
        run = take_from_shard(&tide_shards[tide_nodes_nth_shard(tenant->shard, n, group)], slots,
                              effort);
    return run;
}

struct pool *tide_arena_take_run(struct tide_tenant *tenant, unsigned slots)
{
    struct pool *run;
    int saved_errno = errno;

    if (TIDE_UNLIKELY(tide_machine_node_count() > 1))
        follow(tenant);
    run = take_from_home(tenant, slots, true);
    if (run)
        return run;
    run = take_from_shard(&tide_shards[tenant->shard], slots, RESIDENT);
    if (!run && (run = take_from_home(tenant, slots, false)))
        return run;
    if (!run)
        run = take_from_all(tenant, slots, FEW);
    if (!run)
        run = take_from_new(tenant, slots);
    if (!run) {
        run = take_from_all(tenant, slots, ALL);
        errno = run ? saved_errno : ENOMEM;
    }
    if (run) {
        tide_arena_leave(tenant);
        tenant->arena = tide_arena_of(run);
    }
    return run;
}

void tide_arena_put_run(struct pool *run)
{
    struct arena *arena = tide_arena_of(run);

    tide_lock(tide_arena_lock(arena));
    tide_arena_put_locked(arena, run);
    tide_shard_settle_and_unlock(arena);
}
