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
MAY_BE_UNUSED static struct tide_tenant nobody; /* never a tenant: takes only large runs */

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
    struct pool *run = tide_arena_take_run(tenant, slots, 1);

    TIDE_REQUIRE(run);
    return run;
}

/* Takes slots until the last of all arenas is full and there is a new one, a whole
 * one, in which filler is a tenant and has the run returned. */
MAY_BE_UNUSED static struct pool *fill(void)
{
    struct pool *run;
    size_t before;

    do {
        before = created();
        run = take(&filler, 1);
    } while (created() == before || tide_arena_is_half(filler.arena));
    TIDE_REQUIRE(tide_arena_free_slots(filler.arena) == USABLE - 1);
    return run;
}

/* A run that takes all slots of an arena without tenants. */
MAY_BE_UNUSED static struct pool *take_whole(void)
{
    struct pool *run = take(&nobody, USABLE);

    TIDE_REQUIRE(!nobody.arena && tide_arena_of(run)->tenants == 0);
    TIDE_REQUIRE(tide_arena_free_slots(tide_arena_of(run)) == 0);
    return run;
}

/* The run, which is alone in its arena, has so many slots from now on. */
MAY_BE_UNUSED static void change_length(struct pool *run, unsigned slots)
{
    struct arena *arena = tide_arena_of(run);

    tide_lock(tide_shard_arena_lock(arena));
    tide_arena_put_locked(arena, run);
    TIDE_REQUIRE(tide_relaxed(&arena->free) == TIDE_ALL_FREE);
    TIDE_REQUIRE(tide_arena_take_locked(arena, slots, 1) == run);
    tide_shard_settle_and_unlock(arena);
}

/* Takes every slot there is. */
MAY_BE_UNUSED static void take_all(void)
{
    tide_os_fail_map_every(1);
    while (tide_arena_take_run(&filler, 1, 1))
        ;
    tide_os_fail_map_every(0);
}

MAY_BE_UNUSED static bool is_there(const struct arena *arena)
{
    return tide_memory_at(arena) == TIDE_ARENA;
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
