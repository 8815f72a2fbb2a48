/* test/unit/arena/arenas.h - for the tests of the arena manager: scenarios, and
 * arenas of known fullness
 *
 * Each scenario is a process with one shard, in which nobody else takes or
 * gives back runs, and is played with a lock for each arena and with one for
 * all.
 */
#ifndef TIDE_TEST_ARENAS_H
#define TIDE_TEST_ARENAS_H

#include "../unit.h"
#include "arena/address_map.h"
#include "arena/arena.h"
#include "arena/manager.h"
#include "arena/shard.h"
#include "arena/walk.h"
#include "os/map.h"
#include "store/store.h"

enum { USABLE = TIDE_SLOTS - TIDE_HEADER_SLOTS };

#define SCENARIO(suite, name)                                                                 \
    Test(suite, name)                                                                         \
    {                                                                                         \
        assert_ended_well(                                                                    \
            run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_LOCK=arena"));            \
        assert_ended_well(                                                                    \
            run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_LOCK=global"));           \
    }                                                                                         \
    PROGRAM(name)

MAY_BE_UNUSED static struct tide_tenant filler; /* whoever fills arenas */

MAY_BE_UNUSED static size_t created(void)
{
    return tide_arena_totals().created;
}

MAY_BE_UNUSED static size_t released(void)
{
    return tide_arena_totals().released;
}

MAY_BE_UNUSED static struct pool *take(struct tide_tenant *tenant, unsigned slots)
{
    struct pool *run = tide_arena_take_run(tenant, slots);

    TIDE_REQUIRE(run);
    return run;
}

/* Takes slots until there is a new arena, of which it has the run returned. */
MAY_BE_UNUSED static struct pool *take_new(struct tide_tenant *tenant)
{
    struct pool *run;
    size_t before;

    do {
        before = created();
        run = take(tenant, 1);
    } while (created() == before);
    return run;
}

/* No other arena has a free slot then. */
MAY_BE_UNUSED static struct pool *fill(void)
{
    struct pool *run = take_new(&filler);

    TIDE_REQUIRE(tide_arena_free_slots(filler.arena) == USABLE - 1);
    return run;
}

MAY_BE_UNUSED static void take_free_slots(struct arena *arena)
{
    tide_lock(tide_arena_lock(arena));
    while (tide_arena_take_locked(arena, 1))
        ;
    tide_shard_settle_and_unlock(arena);
}

/* A new arena of a shard, without tenants, every slot of which is a run. */
MAY_BE_UNUSED static struct arena *take_whole_of(unsigned shard)
{
    struct arena *arena = tide_arena_create(shard, 0);

    TIDE_REQUIRE(arena);
    tide_lock(tide_shards[shard].lock);
    tide_shard_enlist(arena);
    tide_unlock(tide_shards[shard].lock);
    take_free_slots(arena);
    TIDE_REQUIRE(tide_arena_free_slots(arena) == 0 && arena->tenants == 0);
    return arena;
}

MAY_BE_UNUSED static struct arena *take_whole(void)
{
    return take_whole_of(0);
}

/* The nth run of an arena all of whose runs have one slot. */
MAY_BE_UNUSED static struct pool *nth_run(struct arena *arena, unsigned n)
{
    return (struct pool *)arena + TIDE_HEADER_SLOTS + n;
}

MAY_BE_UNUSED static char *slots_of(struct arena *arena)
{
    return tide_pool_start(nth_run(arena, 0));
}

/* Puts those back but for the first so many.  Without any the arena goes, if it has no
 * tenants. */
MAY_BE_UNUSED static void keep_runs(struct arena *arena, unsigned count)
{
    for (unsigned n = USABLE; n-- > count;)
        tide_arena_put_run(nth_run(arena, n));
}

MAY_BE_UNUSED static void touch_slots(struct arena *arena)
{
    memset(slots_of(arena), 1, USABLE * TIDE_SLOT_BYTES);
}

/* Takes every slot there is. */
MAY_BE_UNUSED static void take_all(void)
{
    tide_os_fail_map_every(1);
    while (tide_arena_take_run(&filler, 1))
        ;
    tide_os_fail_map_every(0);
}

MAY_BE_UNUSED static bool is_there(const struct arena *arena)
{
    return tide_is_in_arena(arena);
}

/* Whether it is the store's, and free. */
MAY_BE_UNUSED static bool is_in_store(const struct arena *arena)
{
    struct tide_range found;

    return tide_store_find(arena, &found) && found.state != RANGE_BLOCK;
}

/* All arenas, some at a time.  Bytes that are left. */
MAY_BE_UNUSED static size_t decay(void)
{
    size_t waiting;

    while (!tide_arena_decay(3, true, &waiting))
        ;
    return waiting;
}

#endif
