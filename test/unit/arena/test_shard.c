/* test_shard.c - arena/shard.h: when an arena goes, and where to */
#include "arena/shard.h"

#include "arenas.h"

static size_t dirty(void)
{
    return tide_relaxed(&tide_store_dirty);
}

SCENARIO(shard, an_empty_arena_goes_to_the_store_at_once)
{
    struct pool *runs[3];
    size_t before, dirty_before;

    fill();
    for (int n = 0; n < 3; n++)
        runs[n] = take_whole();
    before = released();
    dirty_before = dirty();
    for (size_t n = 0; n < 3; n++) {
        struct arena *arena = tide_arena_of(runs[n]);

        TIDE_REQUIRE(is_there(arena) && !is_in_store(arena));
        tide_arena_put_run(runs[n]);
        TIDE_REQUIRE(released() == before + n + 1 && !is_there(arena) && is_in_store(arena));
        TIDE_REQUIRE(dirty() == dirty_before + (n + 1) * TIDE_ARENA_BYTES);
        TIDE_REQUIRE(is_mapped(arena));
    }
    tide_arena_check();
    tide_store_check();
}

SCENARIO(shard, the_next_arena_is_made_of_one_that_went)
{
    struct pool *run, *next;
    struct arena *arena;
    size_t dirty_before, idle, grown, made;

    fill();
    run = take_whole();
    arena = tide_arena_of(run);
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
    dirty_before = dirty();
    idle = tide_relaxed(&tide_arena_idle_slots);
    tide_arena_put_run(run);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle);
    grown = tide_store_totals().grown;
    made = created();
    next = take_whole();
    TIDE_REQUIRE(next == run && is_there(arena) && !is_in_store(arena));
    TIDE_REQUIRE(tide_store_totals().grown == grown && created() == made + 1);
    TIDE_REQUIRE(dirty() == dirty_before);
    TIDE_REQUIRE(!next->is_zero && next->fresh == 0 && *tide_pool_start(next) == 1);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle);
    change_length(next, 1);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle + USABLE - 1);
    TIDE_REQUIRE(tide_relaxed(&arena->dirty) == TIDE_ALL_FREE);
    tide_arena_check();
}

SCENARIO(shard, arenas_come_and_go_without_the_os)
{
    struct pool *runs[4];
    size_t grown = 0;

    fill();
    for (int round = 0; round < 10; round++) {
        for (int n = 0; n < 4; n++)
            runs[n] = take_whole();
        if (round == 0)
            grown = tide_store_totals().grown;
        for (int n = 0; n < 4; n++)
            tide_arena_put_run(runs[n]);
    }
    TIDE_REQUIRE(tide_store_totals().grown == grown);
    tide_arena_check();
    tide_store_check();
}

SCENARIO(shard, an_empty_arena_stays_while_it_has_tenants)
{
    struct pool *last = fill();
    struct arena *home = filler.arena;
    size_t before = released();

    tide_arena_put_run(last);
    TIDE_REQUIRE(is_there(home) && tide_relaxed(&home->free) == TIDE_ALL_FREE);
    tide_arena_check();
    TIDE_REQUIRE(is_there(home) && released() == before);
    tide_arena_leave(&filler);
    TIDE_REQUIRE(!is_there(home) && is_in_store(home) && released() == before + 1);
    tide_arena_check();
}
