/* test_shard.c - arena/shard.h: when an arena goes, and where to */
#include "arena/shard.h"

#include "arenas.h"

static size_t dirty(void)
{
    return tide_relaxed(&tide_store_dirty);
}

SCENARIO(shard, an_empty_arena_goes_to_the_store_at_once)
{
    struct arena *wholes[3];
    size_t before, dirty_before;

    fill();
    for (int n = 0; n < 3; n++)
        wholes[n] = take_whole();
    before = released();
    dirty_before = dirty();
    for (size_t n = 0; n < 3; n++) {
        struct arena *arena = wholes[n];

        TIDE_REQUIRE(is_there(arena) && !is_in_store(arena));
        keep_runs(arena, 0);
        TIDE_REQUIRE(released() == before + n + 1 && !is_there(arena) && is_in_store(arena));
        TIDE_REQUIRE(dirty() == dirty_before + (n + 1) * TIDE_ARENA_BYTES);
        TIDE_REQUIRE(is_mapped(arena));
    }
    tide_arena_check();
    tide_store_check();
}

SCENARIO(shard, the_next_arena_is_made_of_one_that_went)
{
    struct arena *arena;
    struct pool *run;
    size_t dirty_before, idle, grown, made;

    fill();
    arena = take_whole();
    touch_slots(arena);
    dirty_before = dirty();
    idle = tide_relaxed(&tide_arena_idle_slots);
    keep_runs(arena, 0);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle);
    grown = tide_store_totals().grown;
    made = created();
    TIDE_REQUIRE(take_whole() == arena && is_there(arena) && !is_in_store(arena));
    TIDE_REQUIRE(tide_store_totals().grown == grown && created() == made + 1);
    TIDE_REQUIRE(dirty() == dirty_before);
    run = nth_run(arena, 1);
    TIDE_REQUIRE(!run->is_zero && run->fresh == 0 && *tide_pool_start(run) == 1);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle);
    keep_runs(arena, 1);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle + USABLE - 1);
    TIDE_REQUIRE(tide_relaxed(&arena->dirty) == TIDE_ALL_FREE);
    tide_arena_check();
}

SCENARIO(shard, arenas_come_and_go_without_the_os)
{
    struct arena *wholes[4];
    size_t grown = 0;

    fill();
    for (int round = 0; round < 10; round++) {
        for (int n = 0; n < 4; n++)
            wholes[n] = take_whole();
        if (round == 0)
            grown = tide_store_totals().grown;
        for (int n = 0; n < 4; n++)
            keep_runs(wholes[n], 0);
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
