/* test_walk.c - arena/walk.h and arena/retired.h: walks meet every arena, and arenas that go meanwhile
 * stay readable, and take no memory, until no walk can be at them: then they are the
 * store's */
#include "arena/walk.h"

#include "arena/retired.h"
#include "arenas.h"
#include "base/due.h"
#include "os/rcu.h"

enum { WHOLES = 5 };

static struct arena *wholes[WHOLES];

/* No other thread is to map anything where an arena was. */
static void take_wholes(void)
{
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED);
    fill();
    for (int n = 0; n < WHOLES; n++)
        wholes[n] = take_whole();
}

static void put_wholes(void)
{
    for (int n = 0; n < WHOLES; n++) {
        memset(slots_of(wholes[n]), 1, TIDE_SLOT_BYTES);
        keep_runs(wholes[n], 0);
    }
}

static void require_waiting(void)
{
    TIDE_REQUIRE(tide_arena_totals().waiting == WHOLES);
    for (int n = 0; n < WHOLES; n++) {
        TIDE_REQUIRE(!is_in_store(wholes[n]) && !is_resident(slots_of(wholes[n])));
        TIDE_REQUIRE(!is_there(wholes[n]) && tide_relaxed(&wholes[n]->free) == TIDE_ALL_FREE);
    }
}

static void require_gone(void)
{
    TIDE_REQUIRE(tide_arena_totals().waiting == 0);
    for (int n = 0; n < WHOLES; n++)
        TIDE_REQUIRE(!is_there(wholes[n]) && is_in_store(wholes[n]));
}

/* ---- Walking ------------------------------------------------------------ */

/* How many arenas a walk meets, among which all of wholes, once. */
static size_t walk_all(bool is_free)
{
    struct tide_walk walk;
    struct arena *arena;
    unsigned met[WHOLES] = { 0 };
    size_t all = 0;

    tide_walk_begin(&walk);
    TIDE_REQUIRE(walk.is_free == is_free);
    for (; (arena = tide_walk_next(&walk)); all++) {
        TIDE_REQUIRE(is_there(arena) && (arena->tenants > 0 || is_free));
        for (int n = 0; n < WHOLES; n++)
            met[n] += arena == wholes[n];
    }
    TIDE_REQUIRE(!tide_walk_next(&walk) || !is_free);
    tide_walk_end(&walk);
    for (int n = 0; n < WHOLES; n++)
        TIDE_REQUIRE(met[n] == 1 && wholes[n]->tenants == 0);
    return all;
}

SCENARIO(walk, a_walk_meets_every_arena_once)
{
    take_wholes();
    TIDE_REQUIRE(walk_all(true) == tide_arena_totals().arenas);
}

PROGRAM(two_shards)
{
    struct tide_tenant other = { .shard = 1 };

    take_wholes();
    take_new(&other);
    TIDE_REQUIRE(walk_all(true) == tide_arena_totals().arenas);
}

Test(walk, a_walk_goes_through_all_shards)
{
    assert_ended_well(run_program("two_shards", "TIDEPOOL_SHARDS=3", NULL));
}

SCENARIO(walk, an_arena_that_comes_meanwhile_does_no_harm)
{
    struct tide_walk walk;
    size_t all = 0, before;

    take_wholes();
    before = tide_arena_totals().arenas;
    tide_walk_begin(&walk);
    while (tide_walk_next(&walk)) {
        take_whole();
        all++;
    }
    tide_walk_end(&walk);
    TIDE_REQUIRE(all == before && tide_arena_totals().arenas == 2 * before);
}

/* ---- Arenas that go ----------------------------------------------------- */

SCENARIO(walk, without_a_walk_they_go_at_once)
{
    take_wholes();
    put_wholes();
    require_gone();
    take_wholes();
    walk_all(true);
    put_wholes();
    require_gone();
}

SCENARIO(walk, during_a_walk_they_wait_without_memory)
{
    size_t before;
    struct tide_walk walk;

    take_wholes();
    before = released();
    tide_walk_begin(&walk);
    put_wholes();
    TIDE_REQUIRE(released() == before + WHOLES);
    require_waiting();
    tide_arena_check();
    TIDE_REQUIRE(tide_retired_reclaim() == WHOLES);
    require_waiting();
    tide_walk_end(&walk);
    require_gone();
}

SCENARIO(walk, a_walk_goes_on_from_an_arena_that_went)
{
    struct tide_walk walk;
    struct arena *arena;

    take_wholes();
    tide_walk_begin(&walk);
    while ((arena = tide_walk_next(&walk)) != wholes[WHOLES / 2])
        TIDE_REQUIRE(arena);
    put_wholes();
    while ((arena = tide_walk_next(&walk)))
        TIDE_REQUIRE(!is_in_store(arena));
    tide_walk_end(&walk);
    require_gone();
}

SCENARIO(walk, the_last_of_two_walks_lets_them_go)
{
    struct tide_walk first, second;

    take_wholes();
    tide_walk_begin(&first);
    tide_walk_begin(&second);
    put_wholes();
    tide_walk_end(&first);
    require_waiting();
    tide_walk_end(&second);
    require_gone();
}

/* ---- Walks that overlap ------------------------------------------------- */

static struct tide_walk walks[2];
static struct peer walkers[2], waiter;
static _Atomic bool is_over;

static void begin(void *walk)
{
    tide_walk_begin(walk);
}

static void end(void *walk)
{
    tide_walk_end(walk);
}

static void outwait(void *unused)
{
    (void)unused;
    tide_retired_outwait();
    atomic_store(&is_over, true);
}

SCENARIO(walk, they_go_though_there_is_always_a_walk)
{
    take_wholes();
    for (int n = 0; n < 2; n++)
        peer_start(&walkers[n]);
    peer_start(&waiter);
    peer_do(&walkers[0], begin, &walks[0]);
    put_wholes();
    peer_ask(&waiter, outwait, NULL);
    while (!atomic_load(&is_over)) {
        peer_do(&walkers[1], begin, &walks[1]);
        peer_do(&walkers[0], end, &walks[0]);
        peer_do(&walkers[0], begin, &walks[0]);
        peer_do(&walkers[1], end, &walks[1]);
    }
    TIDE_REQUIRE(tide_rcu_has_readers());
    require_gone();
    peer_do(&walkers[0], end, &walks[0]);
}

SCENARIO(walk, outwaiting_nothing_returns)
{
    tide_retired_outwait();
    take_wholes();
    walk_all(true);
    tide_retired_outwait();
}

/* ---- Fork --------------------------------------------------------------- */

static void reclaim(void)
{
    require_waiting();
    TIDE_REQUIRE(tide_retired_reclaim() == 0);
    require_gone();
}

SCENARIO(walk, a_child_lets_go_what_waits_for_its_parents_walks)
{
    take_wholes();
    peer_start(&walkers[0]);
    peer_do(&walkers[0], begin, &walks[0]);
    put_wholes();
    assert_ended_well(run_apart(reclaim));
    require_waiting();
    peer_do(&walkers[0], end, &walks[0]);
    require_gone();
}

/* As before while a thread waits for the walk: until a child sees that it does,
 * by having no RCU itself. */
static void reclaim_without_rcu(void)
{
    struct tide_walk walk;

    reclaim();
    tide_walk_begin(&walk);
    TIDE_REQUIRE(!walk.is_free);
    tide_walk_end(&walk);
}

SCENARIO(walk, a_child_lets_go_what_a_thread_of_its_parent_waits_to_give_back)
{
    take_wholes();
    peer_start(&walkers[0]);
    peer_start(&waiter);
    peer_do(&walkers[0], begin, &walks[0]);
    put_wholes();
    peer_ask(&waiter, outwait, NULL);
    while (run_apart(reclaim_without_rcu).status != 0)
        ;
    require_waiting();
    peer_do(&walkers[0], end, &walks[0]);
    peer_wait(&waiter);
    require_gone();
}

static void end_own_walk(void)
{
    put_wholes();
    require_waiting();
    tide_walk_end(&walks[0]);
    require_gone();
}

SCENARIO(walk, a_walk_goes_on_in_a_child)
{
    take_wholes();
    tide_walk_begin(&walks[0]);
    tide_walk_next(&walks[0]);
    assert_ended_well(run_apart(end_own_walk));
    put_wholes();
    require_waiting();
    tide_walk_end(&walks[0]);
    require_gone();
}

/* ---- Without liburcu ---------------------------------------------------- */

PROGRAM(tenancies)
{
    struct tide_walk walk;
    struct arena *arena;

    take_wholes();
    TIDE_REQUIRE(walk_all(false) == tide_arena_totals().arenas);
    tide_walk_begin(&walk);
    while ((arena = tide_walk_next(&walk)) != wholes[0])
        TIDE_REQUIRE(arena);
    put_wholes();
    TIDE_REQUIRE(is_there(arena) && arena->tenants == 1);
    TIDE_REQUIRE(tide_arena_totals().waiting == 0);
    for (int n = 1; n < WHOLES; n++)
        TIDE_REQUIRE(!is_there(wholes[n]) && is_in_store(wholes[n]));
    tide_walk_end(&walk);
    require_gone();
}

Test(walk, without_liburcu_it_goes_by_tenancies)
{
    assert_ended_well(run_program("tenancies", "TIDEPOOL_SHARDS=1", "TIDEPOOL_RCU=off"));
}
