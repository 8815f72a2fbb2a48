/* test_order.c - arena/order.h: which arena is looked into first, and after it,
 * by each setting
 */
#include "arena/order.h"

#include "arenas.h"

enum { FULL, HALF, ROOMY, ARENAS };

/* Free slots of each. */
static const unsigned room[ARENAS] = { 2, USABLE / 2, USABLE - 1 };

static struct arena *arenas[ARENAS]; /* as said by the enum */

static int by_address(const void *one, const void *other)
{
    uintptr_t a = (uintptr_t) * (struct pool *const *)one,
              b = (uintptr_t) * (struct pool *const *)other;

    return (a > b) - (a < b);
}

/* Three arenas with room, and no others.  The half full one lies at the lowest
 * address, the roomy one at the highest. */
static void make_arenas(void)
{
    static const int at[ARENAS] = { [HALF] = 0, [FULL] = 1, [ROOMY] = 2 };
    struct pool *runs[ARENAS];

    fill();
    for (int n = 0; n < ARENAS; n++)
        runs[n] = take_whole();
    while (tide_arena_free_slots(filler.arena) > 0)
        take(&filler, 1);
    qsort(runs, ARENAS, sizeof *runs, by_address);
    for (int n = 0; n < ARENAS; n++) {
        arenas[n] = tide_arena_of(runs[at[n]]);
        change_length(runs[at[n]], USABLE - room[n]);
    }
    tide_arena_check();
}

/* All arenas that a search finds, in its order, are those. */
static void require_found(unsigned slots, unsigned most, const int *expected, unsigned count)
{
    struct tide_search search;

    tide_lock(tide_shards[0].lock);
    search = tide_order_begin(&tide_shards[0], slots, most);
    for (unsigned n = 0; n < count; n++)
        TIDE_REQUIRE(tide_order_next(&search) == arenas[expected[n]]);
    TIDE_REQUIRE(!tide_order_next(&search));
    tide_unlock(tide_shards[0].lock);
}

/* A run that only one arena has room for comes from there, any other from the
 * first in the order. */
static void require_taken(int first)
{
    struct tide_tenant tenant = { .arena = NULL };

    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == arenas[first]);
    tide_arena_leave(&tenant);
    TIDE_REQUIRE(tide_arena_of(take(&nobody, USABLE - 2)) == arenas[ROOMY]);
    tide_arena_check();
}

PROGRAM(fullest)
{
    make_arenas();
    require_found(1, 1, (const int[]){ FULL, HALF, ROOMY }, 3);
    require_found(room[FULL] + SLOTS_PER_BUCKET, 1, (const int[]){ HALF, ROOMY }, 2);
    require_taken(FULL);
}

PROGRAM(emptiest)
{
    make_arenas();
    require_found(1, 1, (const int[]){ ROOMY, HALF, FULL }, 3);
    require_found(room[FULL] + SLOTS_PER_BUCKET, 1, (const int[]){ ROOMY, HALF }, 2);
    TIDE_REQUIRE(tide_arena_of(take(&nobody, 1)) == arenas[ROOMY]);
}

PROGRAM(first)
{
    make_arenas();
    require_found(1, 1, (const int[]){ HALF, FULL, ROOMY }, 3);
    require_found(room[FULL] + SLOTS_PER_BUCKET, 1, (const int[]){ HALF, ROOMY }, 2);
    require_taken(HALF);
}

Test(order, the_fullest_arena_comes_first)
{
    assert_ended_well(run_program("fullest", "TIDEPOOL_SHARDS=1", NULL));
    assert_ended_well(run_program("fullest", "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_ORDER=fullest"));
}

Test(order, the_emptiest_comes_first_when_asked_for)
{
    assert_ended_well(
        run_program("emptiest", "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_ORDER=emptiest"));
}

Test(order, the_one_at_the_lowest_address_comes_first_when_asked_for)
{
    assert_ended_well(run_program("first", "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_ORDER=first"));
}

/* ---- Several in a bucket, and none --------------------------------------- */

enum { EQUALS = 5 };

/* How many of EQUALS arenas in one bucket a search finds that looks into two. */
static unsigned found_of_equals(void)
{
    struct pool *runs[EQUALS];
    struct tide_search search;
    unsigned count = 0;

    fill();
    for (int n = 0; n < EQUALS; n++)
        runs[n] = take_whole();
    while (tide_arena_free_slots(filler.arena) > 0)
        take(&filler, 1);
    require_found(1, 2, NULL, 0);
    for (int n = 0; n < EQUALS; n++)
        change_length(runs[n], USABLE - 2);
    tide_lock(tide_shards[0].lock);
    search = tide_order_begin(&tide_shards[0], 1, 2);
    while (tide_order_next(&search))
        count++;
    tide_unlock(tide_shards[0].lock);
    return count;
}

PROGRAM(two_of_a_bucket)
{
    TIDE_REQUIRE(found_of_equals() == 2);
}

PROGRAM(as_many_as_all_buckets_give)
{
    TIDE_REQUIRE(found_of_equals() == EQUALS);
}

Test(order, a_search_looks_into_a_few_of_each_bucket)
{
    assert_ended_well(run_program("two_of_a_bucket", "TIDEPOOL_SHARDS=1", NULL));
    assert_ended_well(
        run_program("two_of_a_bucket", "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_ORDER=emptiest"));
    assert_ended_well(run_program("as_many_as_all_buckets_give", "TIDEPOOL_SHARDS=1",
                                  "TIDEPOOL_ARENA_ORDER=first"));
}
