/* test_shard.c - arena/shard.h: when an arena goes, and when it is kept */
#include "arena/shard.h"

#include "arenas.h"

SCENARIO(shard, one_empty_arena_is_kept_and_further_ones_go)
{
    struct pool *first, *second, *third;
    size_t before;

    fill();
    tide_arena_trim(0);
    before = released();
    first = take_whole();
    second = take_whole();
    third = take_whole();
    tide_arena_put_run(first);
    TIDE_REQUIRE(released() == before && is_there(tide_arena_of(first)));
    tide_arena_put_run(second);
    TIDE_REQUIRE(released() == before + 1 && !is_there(tide_arena_of(second)));
    TIDE_REQUIRE(!is_mapped(tide_arena_of(second)));
    tide_arena_put_run(third);
    TIDE_REQUIRE(released() == before + 2 && !is_there(tide_arena_of(third)));
    TIDE_REQUIRE(is_there(tide_arena_of(first)));
    tide_arena_check();
    TIDE_REQUIRE(take_whole() == first);
}

/* Released and mapped again at once, until the shard has learnt. */
SCENARIO(shard, arenas_that_are_missed_at_once_are_kept)
{
    struct pool *runs[4];
    size_t before = 0;

    fill();
    for (int round = 0; round < 10; round++) {
        before = tide_arena_totals().created;
        for (int n = 0; n < 4; n++)
            runs[n] = take_whole();
        for (int n = 0; n < 4; n++)
            tide_arena_put_run(runs[n]);
    }
    TIDE_REQUIRE(tide_arena_totals().created == before);
    tide_arena_check();
}

SCENARIO(shard, an_empty_arena_stays_while_it_has_tenants)
{
    struct pool *last = fill(), *whole;
    struct arena *home = filler.arena;
    size_t before;

    tide_arena_trim(0);
    before = released();
    whole = take_whole();
    tide_arena_put_run(whole);
    tide_arena_put_run(last);
    TIDE_REQUIRE(is_there(home) && tide_relaxed(&home->free) == TIDE_ALL_FREE);
    tide_arena_check();
    TIDE_REQUIRE(is_there(home));
    tide_arena_leave(&filler);
    TIDE_REQUIRE(is_there(home) != is_there(tide_arena_of(whole)));
    TIDE_REQUIRE(released() == before + 1);
    tide_arena_check();
}
