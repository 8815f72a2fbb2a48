/* test_upkeep.c - arena/upkeep.c: trimming, walking, counting, checking */
#include "arena/manager.h"

#include "arenas.h"

/* ---- Trimming ----------------------------------------------------------- */

SCENARIO(upkeep, trim_returns_the_pages_of_free_slots)
{
    struct pool *run;
    char *start;
    size_t returnable;

    fill();
    run = take(&filler, 4);
    start = tide_pool_start(run);
    memset(start, 1, 4 * TIDE_SLOT_BYTES);
    returnable = tide_arena_returnable();
    tide_arena_put_run(run);
    TIDE_REQUIRE(tide_arena_returnable() == returnable + 4 * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_trim(0) == returnable + 4 * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_returnable() == 0 && tide_arena_trim(0) == 0);
    TIDE_REQUIRE(!is_resident(start) && !is_resident(start + 4 * TIDE_SLOT_BYTES - 1));
    tide_arena_check();
    run = take(&filler, 4);
    TIDE_REQUIRE(run->is_zero && is_zero(tide_pool_start(run), 4 * TIDE_SLOT_BYTES));
}

SCENARIO(upkeep, trim_leaves_what_is_in_use)
{
    struct pool *runs[6];

    fill();
    for (int n = 0; n < 6; n++) {
        runs[n] = take(&filler, 2);
        memset(tide_pool_start(runs[n]), n + 1, 2 * TIDE_SLOT_BYTES);
    }
    for (int n = 0; n < 6; n += 2)
        tide_arena_put_run(runs[n]);
    TIDE_REQUIRE(tide_arena_trim(0) >= 6 * TIDE_SLOT_BYTES);
    for (int n = 1; n < 6; n += 2)
        for (size_t at = 0; at < 2 * TIDE_SLOT_BYTES; at++)
            TIDE_REQUIRE(tide_pool_start(runs[n])[at] == n + 1);
    tide_arena_check();
}

SCENARIO(upkeep, trim_keeps_what_it_is_told_to)
{
    struct pool *run;
    size_t returnable;

    fill();
    run = take(&filler, 4);
    memset(tide_pool_start(run), 1, 4 * TIDE_SLOT_BYTES);
    tide_arena_put_run(run);
    returnable = tide_arena_returnable();
    TIDE_REQUIRE(tide_arena_trim(returnable) == 0);
    TIDE_REQUIRE(tide_arena_returnable() == returnable && is_resident(tide_pool_start(run)));
    TIDE_REQUIRE(tide_arena_trim(returnable - 1) > 0);
}

/* ---- Decay --------------------------------------------------------------- */

SCENARIO(upkeep, decay_returns_the_pages_of_slots_that_stayed_free)
{
    struct pool *run, *other;
    char *start;

    fill();
    other = take(&filler, 1);
    memset(tide_pool_start(other), 2, TIDE_SLOT_BYTES);
    run = take(&filler, 4);
    start = tide_pool_start(run);
    memset(start, 1, 4 * TIDE_SLOT_BYTES);
    tide_arena_put_run(run);
    TIDE_REQUIRE(decay() >= 4 * TIDE_SLOT_BYTES && is_resident(start));
    decay();
    TIDE_REQUIRE(tide_arena_returnable() == 0 && !is_resident(start));
    TIDE_REQUIRE(is_resident(tide_pool_start(other)));
    TIDE_REQUIRE(decay() == 0);
    tide_arena_check();
}

SCENARIO(upkeep, decay_leaves_slots_that_were_used_meanwhile)
{
    struct pool *run;
    char *start;

    fill();
    run = take(&filler, 4);
    start = tide_pool_start(run);
    memset(start, 1, 4 * TIDE_SLOT_BYTES);
    for (int n = 0; n < 5; n++) {
        tide_arena_put_run(run);
        TIDE_REQUIRE(decay() >= 4 * TIDE_SLOT_BYTES);
        run = take(&filler, 4);
        TIDE_REQUIRE(tide_pool_start(run) == start && is_resident(start));
        decay();
    }
    tide_arena_check();
}

/* ---- Walking and counting ----------------------------------------------- */

SCENARIO(upkeep, a_walk_meets_every_arena_once)
{
    struct arena *wholes[5];
    unsigned met[5] = { 0 };

    fill();
    for (int n = 0; n < 5; n++)
        wholes[n] = take_whole();
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena)) {
        TIDE_REQUIRE(is_there(arena) && arena->tenants > 0);
        for (int n = 0; n < 5; n++)
            met[n] += arena == wholes[n];
    }
    for (int n = 0; n < 5; n++)
        TIDE_REQUIRE(met[n] == 1 && wholes[n]->tenants == 0);
}

SCENARIO(upkeep, the_arena_walked_to_stays_until_the_next_step)
{
    struct arena *passed, *walked, *arena;

    fill();
    passed = take_whole();
    walked = take_whole();
    arena = tide_arena_next(NULL);
    while (arena != walked)
        arena = tide_arena_next(arena);
    keep_runs(passed, 0);
    keep_runs(walked, 0);
    TIDE_REQUIRE(!is_there(passed));
    TIDE_REQUIRE(is_there(arena) && tide_relaxed(&arena->free) == TIDE_ALL_FREE);
    tide_arena_check();
    arena = tide_arena_next(arena);
    TIDE_REQUIRE(!is_there(walked) && is_in_store(walked));
    while (arena)
        arena = tide_arena_next(arena);
    tide_arena_check();
}

SCENARIO(upkeep, totals_add_up)
{
    struct arena *wholes[10];
    struct tide_arena_totals before, after;
    size_t walked = 0;

    fill();
    before = tide_arena_totals();
    for (int n = 0; n < 10; n++)
        wholes[n] = take_whole();
    for (int n = 0; n < 7; n++)
        keep_runs(wholes[n], 0);
    after = tide_arena_totals();
    TIDE_REQUIRE(after.created == before.created + 10 && after.released == before.released + 7);
    TIDE_REQUIRE(after.arenas == after.created - after.released);
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        walked++;
    TIDE_REQUIRE(walked == after.arenas);
}

/* ---- The check itself --------------------------------------------------- */

static void check_wrong_bucket(void)
{
    filler.arena->bucket ^= 1;
    tide_arena_check();
}

static void check_broken_list(void)
{
    filler.arena->prev_all = filler.arena;
    tide_arena_check();
}

static void check_wrong_shard(void)
{
    filler.arena->shard++;
    tide_arena_check();
}

static void check_free_header(void)
{
    tide_set_relaxed(&filler.arena->free, tide_relaxed(&filler.arena->free) | 1);
    tide_arena_check();
}

Test(upkeep, check_sees_what_is_broken)
{
    tide_arena_take_run(&filler, 1);
    tide_arena_check();
    assert_broken(run_apart(check_wrong_bucket));
    assert_broken(run_apart(check_wrong_shard));
    assert_broken(run_apart(check_free_header));
    while (filler.arena == tide_arena_of(tide_arena_take_run(&filler, 1)))
        ;
    while (!filler.arena->next_all && !filler.arena->prev_all)
        tide_arena_take_run(&filler, 1);
    if (filler.arena->prev_all)
        assert_broken(run_apart(check_broken_list));
}
