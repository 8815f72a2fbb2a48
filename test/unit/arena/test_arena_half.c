/* test_arena_half.c - arena/arena.h: the first arena, of which one half is mapped at
 * first
 *
 * Each scenario begins with a new process, whose first arena may have been made for
 * something else already.  The kernel may map something of its own where the rest is
 * to be, or near: then the scenario begins anew, in a process that lies elsewhere.
 */
#include "arena/arena.h"

#include <errno.h>
#include <sys/syscall.h>

#include "../os/smaps.h"
#include "arena/huge_pages.h"
#include "arena/shard.h"
#include "arena/walk.h"
#include "arenas.h"
#include "os/limits.h"
#include "store/purge.h"

enum { HALF_SLOTS = TIDE_SLOTS / 2, MOST_LOOKS = 100 };

#define HALF (TIDE_ARENA_BYTES / 2)

enum { UNSUITED = 3, MOST_RUNS = 20 }; /* how a process ends in which it can't be played */

static void play(const char *name, const char *setting)
{
    struct outcome outcome;
    int count = 0;

    do
        outcome = run_program(name, "TIDEPOOL_SHARDS=1", setting);
    while (WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == UNSUITED &&
           ++count < MOST_RUNS);
    if (count == MOST_RUNS)
        cr_skip_test("there is no half arena of its own, with room for the rest");
    assert_ended_well(outcome);
}

#define HALF_SCENARIO(name)                                                                   \
    Test(arena_half, name)                                                                    \
    {                                                                                         \
        play(#name, "TIDEPOOL_ARENA_LOCK=arena");                                             \
        play(#name, "TIDEPOOL_ARENA_LOCK=global");                                            \
    }                                                                                         \
    PROGRAM(name)

#define THP_SCENARIO(name, thp)                                                               \
    Test(arena_half, name)                                                                    \
    {                                                                                         \
        play(#name, "TIDEPOOL_THP=" thp);                                                     \
    }                                                                                         \
    PROGRAM(name)

static struct pool *runs[TIDE_SLOTS]; /* of one slot each, in the half arena */
static unsigned run_count;

static char *rest_of(const struct arena *arena)
{
    return (char *)arena + HALF;
}

static bool is_any_mapped(const char *start, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += tide_os_page_bytes)
        if (is_mapped(start + n))
            return true;
    return false;
}

/* ---- In place of the C library's ---------------------------------------- */

enum { MOST_PLACES = 64 };

/* What was mapped where an arena could begin, and whether a whole one had room. */
static struct place {
    char *start;
    bool had_room;
} places[MOST_PLACES];
static unsigned place_count;

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    char *mapped = (char *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);

    if (mapped != MAP_FAILED && bytes >= HALF && is_aligned(mapped, TIDE_ARENA_BYTES) &&
        place_count < MOST_PLACES)
        places[place_count++] = (struct place){
            mapped, bytes >= TIDE_ARENA_BYTES || !is_any_mapped(mapped + HALF, HALF)
        };
    return mapped;
}

/* When it was mapped last. */
static bool had_room(const struct arena *arena)
{
    unsigned n = place_count;

    while (n > 0 && places[n - 1].start != (const char *)arena)
        n--;
    TIDE_REQUIRE(n > 0);
    return places[n - 1].had_room;
}

/* ---- Helpers ------------------------------------------------------------- */

static void end_unsuited(void)
{
    exit(UNSUITED);
}

/* So much above the rest is free: the kernel maps there first. */
#define MARGIN ((size_t)1 << 20)

/* The half arena, in which filler has runs[0]; NULL where there is none in this
 * geometry. */
static struct arena *take_half(void)
{
    struct arena *arena = tide_arena_of(runs[run_count++] = take(&filler, 1));

    TIDE_REQUIRE(tide_arena_is_half(arena) == (TIDE_UNITS == 2));
    if (!tide_arena_is_half(arena))
        return NULL;
    if (is_any_mapped(rest_of(arena), HALF + MARGIN))
        end_unsuited();
    return arena;
}

/* Until no slot is free. */
static void fill_half(const struct arena *arena)
{
    while (tide_arena_free_slots(arena) > 0) {
        runs[run_count] = take(&filler, 1);
        TIDE_REQUIRE(tide_arena_of(runs[run_count++]) == arena);
    }
    TIDE_REQUIRE(tide_arena_is_half(arena));
}

static void touch(struct pool *run)
{
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
}

/* Something of the program's comes where the rest would be. */
static char *put_in_the_way(const struct arena *arena)
{
    char *place = rest_of(arena);

    TIDE_REQUIRE(mmap(place, HALF, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == place);
    memset(place, 7, HALF);
    return place;
}

static void check_in_the_way(const char *place)
{
    for (size_t n = 0; n < HALF; n++)
        TIDE_REQUIRE(place[n] == 7);
}

static void look_until_rest(void)
{
    for (int n = 0; decay() != 0; n++)
        TIDE_REQUIRE(n < MOST_LOOKS);
}

/* ---- A half -------------------------------------------------------------- */

HALF_SCENARIO(the_first_arena_has_half_its_slots)
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    TIDE_REQUIRE(tide_arena_bytes(arena) == HALF);
    TIDE_REQUIRE(tide_bit_count(tide_arena_slots(arena)) == HALF_SLOTS - TIDE_HEADER_SLOTS);
    TIDE_REQUIRE((tide_relaxed(&arena->free) & ~tide_arena_slots(arena)) == 0);
    TIDE_REQUIRE(tide_arena_bytes(tide_arena_of(fill())) == TIDE_ARENA_BYTES);
    tide_arena_check();
}

PROGRAM(room)
{
    struct arena *arena = tide_arena_of(take(&filler, 1));

    TIDE_REQUIRE(!tide_arena_is_half(arena) || had_room(arena));
}

/* Wherever the kernel maps. */
Test(arena_half, its_place_is_one_for_a_whole_arena)
{
    for (int n = 0; n < 10; n++)
        assert_ended_well(run_program("room", "TIDEPOOL_SHARDS=1", NULL));
}

PROGRAM(counts)
{
    struct arena *arena = tide_arena_of(take(&filler, 1));

    TIDE_REQUIRE(created() > 1 || tide_os_limits_mapped() < tide_arena_bytes(arena) + HALF);
    TIDE_REQUIRE(tide_os_limits_mapped() >= tide_arena_bytes(arena));
}

Test(arena_half, only_what_is_mapped_counts_for_the_limits)
{
    assert_ended_well(run_program("counts", "TIDEPOOL_SHARDS=1", NULL));
}

HALF_SCENARIO(what_is_where_the_rest_will_be_is_foreign)
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    TIDE_REQUIRE(tide_memory_at(rest_of(arena) - 1) == TIDE_ARENA);
    TIDE_REQUIRE(tide_memory_at(rest_of(arena)) == TIDE_OTHER);
    TIDE_REQUIRE(tide_memory_at(rest_of(arena) + HALF - 1) == TIDE_OTHER);
}

/* As the first thing of all, or in the first arena's rest. */
HALF_SCENARIO(the_first_run_may_be_half_an_arena_long)
{
    struct pool *run = take(&nobody, HALF_SLOTS);

    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
    tide_arena_check();
}

/* ---- It becomes whole ---------------------------------------------------- */

HALF_SCENARIO(the_rest_is_mapped_before_another_arena_is_made)
{
    struct arena *arena = take_half();
    size_t before = created(), mapped = tide_os_limits_mapped();
    struct pool *run;

    if (!arena)
        return;
    fill_half(arena);
    errno = ERANGE;
    run = take(&filler, 1);
    TIDE_REQUIRE(errno == ERANGE);
    TIDE_REQUIRE(tide_arena_of(run) == arena && tide_pool_slot(run) >= HALF_SLOTS);
    TIDE_REQUIRE(created() == before && tide_os_limits_mapped() == mapped + HALF);
    TIDE_REQUIRE(!tide_arena_is_half(arena) && tide_arena_bytes(arena) == TIDE_ARENA_BYTES);
    TIDE_REQUIRE(tide_arena_free_slots(arena) == HALF_SLOTS - 1);
    TIDE_REQUIRE(run->is_zero && is_zero(tide_pool_start(run), TIDE_SLOT_BYTES));
    TIDE_REQUIRE(tide_memory_at(tide_pool_start(run)) == TIDE_ARENA);
    memset(rest_of(arena), 1, HALF);
    TIDE_REQUIRE(filler.arena == arena && arena->tenants == 1);
    tide_arena_check();
}

HALF_SCENARIO(a_run_that_is_not_for_pools_leaves_no_tenancy)
{
    struct arena *arena = take_half();
    struct pool *run;

    if (!arena)
        return;
    fill_half(arena);
    run = take(&nobody, HALF_SLOTS);
    TIDE_REQUIRE(tide_arena_of(run) == arena && tide_pool_slot(run) == HALF_SLOTS);
    TIDE_REQUIRE(arena->tenants == 1 && tide_arena_free_slots(arena) == 0);
    tide_arena_check();
}

HALF_SCENARIO(it_stays_half_for_what_would_not_fit)
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    TIDE_REQUIRE(tide_arena_of(take(&nobody, USABLE)) != arena);
    TIDE_REQUIRE(tide_arena_is_half(arena) && arena->tenants == 1);
    fill_half(arena);
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) == arena && !tide_arena_is_half(arena));
}

/* Nobody tries again. */
HALF_SCENARIO(without_memory_it_stays_half_for_good)
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    fill_half(arena);
    tide_os_fail_map_every(1);
    errno = 0;
    TIDE_REQUIRE(!tide_arena_take_run(&filler, 1, 1) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(tide_arena_is_half(arena) && arena->tenants == 1);
    tide_arena_check();
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) != arena && arena->tenants == 0);
    fill();
    TIDE_REQUIRE(tide_arena_is_half(arena));
    tide_arena_put_run(runs[0]);
    TIDE_REQUIRE(tide_arena_of(take(&nobody, 1)) == arena);
    tide_arena_check();
}

HALF_SCENARIO(it_stays_half_for_good_when_something_is_there)
{
    struct arena *arena = take_half();
    struct pool *run;
    char *place;

    if (!arena)
        return;
    place = put_in_the_way(arena);
    fill_half(arena);
    errno = ERANGE;
    run = take(&filler, 1);
    TIDE_REQUIRE(errno == ERANGE);
    TIDE_REQUIRE(tide_arena_of(run) != arena && tide_arena_is_half(arena) && arena->tenants == 0);
    TIDE_REQUIRE(tide_memory_at(place) == TIDE_OTHER);
    tide_arena_bind_all();
    tide_arena_trim(0);
    decay();
    tide_arena_check();
    check_in_the_way(place);
    munmap(place, HALF);
    fill();
    TIDE_REQUIRE(tide_arena_is_half(arena));
    tide_arena_put_run(runs[0]);
    TIDE_REQUIRE(tide_arena_of(take(&nobody, 1)) == arena);
}

/* ---- Its rest is the store's --------------------------------------------- */

/* As take_half, where the store has what follows it. */
static struct arena *take_half_before_free(void)
{
    struct tide_request first = { TIDE_ARENA_BYTES, tide_os_page_bytes, 0, RANGE_USED, true };
    struct arena *arena;
    size_t fresh;

    if (created() > 0)
        end_unsuited();
    TIDE_REQUIRE(tide_store_take(&first, &fresh)); /* so that what is mapped next is whole */
    arena = tide_arena_of(runs[run_count++] = take(&filler, 1));
    TIDE_REQUIRE(tide_arena_is_half(arena) == (TIDE_UNITS == 2));
    return tide_arena_is_half(arena) ? arena : NULL;
}

/* The range that is all of the rest, used. */
static struct tide_range *take_rest(const struct arena *arena, enum tide_range_state state)
{
    struct tide_request request = { HALF, tide_os_page_bytes, 0, state, true };
    size_t fresh;
    struct tide_range *range = tide_store_take(&request, &fresh);

    TIDE_REQUIRE(range && range->start == rest_of(arena) && fresh == HALF);
    return range;
}

HALF_SCENARIO(the_rest_is_the_stores_if_it_has_that)
{
    struct arena *arena = take_half_before_free();
    size_t grown = tide_store_totals().grown, used = tide_relaxed(&tide_store_used);
    struct pool *run;

    if (!arena)
        return;
    TIDE_REQUIRE(is_in_store((struct arena *)rest_of(arena)) && is_mapped(rest_of(arena)));
    TIDE_REQUIRE(tide_memory_at(rest_of(arena)) == TIDE_OTHER);
    fill_half(arena);
    run = take(&nobody, HALF_SLOTS);
    TIDE_REQUIRE(tide_arena_of(run) == arena && !tide_arena_is_half(arena));
    TIDE_REQUIRE(tide_store_totals().grown == grown);
    TIDE_REQUIRE(tide_relaxed(&tide_store_used) == used + HALF);
    TIDE_REQUIRE(run->is_zero && is_zero(tide_pool_start(run), tide_pool_bytes(run)));
    TIDE_REQUIRE(!is_in_store((struct arena *)rest_of(arena)));
    tide_arena_check();
    tide_store_check();
}

HALF_SCENARIO(a_dirty_rest_has_dirty_slots)
{
    struct arena *arena = take_half_before_free();
    struct tide_range *rest;
    struct pool *run;
    size_t idle;

    if (!arena)
        return;
    rest = take_rest(arena, RANGE_USED);
    memset(rest->start, 1, HALF);
    tide_store_put(rest, RANGE_DIRTY);
    fill_half(arena);
    idle = tide_relaxed(&tide_arena_idle_slots);
    run = take(&filler, 1);
    TIDE_REQUIRE(tide_arena_of(run) == arena && tide_pool_slot(run) == HALF_SLOTS);
    TIDE_REQUIRE(!run->is_zero && run->fresh == 0 && *tide_pool_start(run) == 1);
    TIDE_REQUIRE(tide_relaxed(&arena->dirty) >> HALF_SLOTS == UINT32_MAX);
    TIDE_REQUIRE(tide_relaxed(&tide_arena_idle_slots) == idle + HALF_SLOTS - 1);
    TIDE_REQUIRE(tide_relaxed(&tide_store_dirty) == 0);
    tide_arena_check();
    tide_store_check();
}

HALF_SCENARIO(a_block_in_its_place_stays)
{
    struct arena *arena = take_half_before_free();
    struct tide_range *block;

    if (!arena)
        return;
    block = take_rest(arena, RANGE_BLOCK);
    memset(block->start, 7, HALF);
    fill_half(arena);
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) != arena && tide_arena_is_half(arena));
    TIDE_REQUIRE(tide_memory_at(block->start) == TIDE_OTHER);
    TIDE_REQUIRE(tide_store_block(block->start) == block);
    check_in_the_way(block->start);
    tide_arena_check();
}

/* ---- It goes ------------------------------------------------------------- */

/* Every run of the half arena is the scenario's, and goes. */
static void put_all(struct arena *arena)
{
    if (run_count != HALF_SLOTS - TIDE_HEADER_SLOTS)
        end_unsuited();
    tide_arena_leave(&filler);
    while (run_count > 0)
        tide_arena_put_run(runs[--run_count]);
    TIDE_REQUIRE(!is_there(arena));
}

HALF_SCENARIO(an_empty_one_goes_and_leaves_its_neighbour)
{
    struct arena *arena = take_half();
    size_t mapped, dirty;
    char *place;

    if (!arena)
        return;
    place = put_in_the_way(arena);
    fill_half(arena);
    mapped = tide_os_limits_mapped();
    dirty = tide_relaxed(&tide_store_dirty);
    put_all(arena);
    tide_arena_check();
    TIDE_REQUIRE(!is_there(arena) && is_in_store(arena));
    TIDE_REQUIRE(is_in_store((struct arena *)(place - 1)));
    TIDE_REQUIRE(!is_in_store((struct arena *)place));
    TIDE_REQUIRE(tide_relaxed(&tide_store_dirty) == dirty + HALF);
    TIDE_REQUIRE(tide_os_limits_mapped() == mapped);
    TIDE_REQUIRE(tide_store_purge(0, SIZE_MAX) == dirty + HALF);
    TIDE_REQUIRE(tide_os_limits_mapped() == mapped - dirty - HALF);
    TIDE_REQUIRE(tide_relaxed(&tide_map_hole) == 0);
    check_in_the_way(place);
    TIDE_REQUIRE(tide_arena_bytes(tide_arena_of(take(&filler, 1))) == TIDE_ARENA_BYTES);
    tide_arena_check();
}

HALF_SCENARIO(one_that_went_while_somebody_walks_leaves_its_neighbour)
{
    struct arena *arena = take_half();
    struct tide_walk walk;
    char *place;

    if (!arena)
        return;
    place = put_in_the_way(arena);
    fill_half(arena);
    touch(runs[0]);
    tide_walk_begin(&walk);
    put_all(arena);
    TIDE_REQUIRE(!is_there(arena) && !is_in_store(arena));
    check_in_the_way(place);
    tide_walk_end(&walk);
    tide_walk_reclaim();
    TIDE_REQUIRE(is_in_store(arena) && !is_in_store((struct arena *)place));
    check_in_the_way(place);
}

HALF_SCENARIO(one_that_went_while_somebody_walks_is_not_made_whole)
{
    struct arena *arena = take_half();
    struct tide_walk walk;

    if (!arena)
        return;
    fill_half(arena);
    change_length(take_whole(), 1); /* room for what loads liburcu */
    tide_walk_begin(&walk);
    put_all(arena);
    for (int n = 0; n < 3; n++)
        TIDE_REQUIRE(tide_arena_of(take(&nobody, HALF_SLOTS)) != arena);
    TIDE_REQUIRE(tide_arena_is_half(arena) && arena->range->bytes == HALF);
    tide_walk_end(&walk);
    tide_arena_check();
}

/* ---- Huge pages ---------------------------------------------------------- */

static bool can_be_huge(void)
{
    return TIDE_UNITS > 0 && has_transparent();
}

HALF_SCENARIO(a_unit_that_is_not_there_is_not_full)
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    fill_half(arena);
    for (unsigned n = 0; n < run_count; n++)
        touch(runs[n]);
    TIDE_REQUIRE(decay() < 2 * TIDE_HUGE_PAGE_BYTES);
    TIDE_REQUIRE(tide_units_in(arena, UNIT_FULL) == 1);
    look_until_rest();
    if (can_be_huge() && run_count == HALF_SLOTS - TIDE_HEADER_SLOTS)
        TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == 1);
    touch(take(&nobody, HALF_SLOTS));
    look_until_rest();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_FULL) == TIDE_ALL_UNITS);
    if (can_be_huge())
        TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) & 2);
    tide_arena_check();
}

THP_SCENARIO(always_asks_for_each_half, "always")
{
    struct arena *arena = take_half();

    if (!arena)
        return;
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == can_be_huge());
    TIDE_REQUIRE(has_flag((char *)arena, "hg") == can_be_huge());
    fill_half(arena);
    take(&filler, 1);
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
    TIDE_REQUIRE(has_flag(rest_of(arena), "hg") == can_be_huge());
}

/* ---- Threads ------------------------------------------------------------- */

enum { THREADS = 3, RUNS = 40 };

/* Marks each run as its own. */
static void take_some(void *mark)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *own[RUNS];

    for (int n = 0; n < RUNS; n++) {
        own[n] = take(&tenant, 1 + (unsigned)n % 3);
        *(void **)tide_pool_start(own[n]) = mark;
    }
    for (int n = 0; n < RUNS; n++) {
        TIDE_REQUIRE(*(void **)tide_pool_start(own[n]) == mark);
        tide_arena_put_run(own[n]);
    }
    tide_arena_leave(&tenant);
}

HALF_SCENARIO(threads_may_need_the_rest_at_the_same_time)
{
    struct peer peers[THREADS];

    for (int n = 0; n < THREADS; n++)
        peer_start(&peers[n]);
    take_half();
    for (int n = 0; n < THREADS; n++)
        peer_ask(&peers[n], take_some, &peers[n]);
    for (int n = 0; n < THREADS; n++)
        peer_wait(&peers[n]);
    tide_arena_check();
    for (int n = 0; n < THREADS; n++)
        peer_end(&peers[n]);
}

/* ---- The check itself ---------------------------------------------------- */

static void check_with(_Atomic uint64_t *slots)
{
    tide_set_relaxed(slots, tide_relaxed(slots) | tide_bit_run(HALF_SLOTS, 1));
    tide_arena_check();
}

static struct arena *first(void)
{
    struct arena *arena = tide_arena_of(take(&filler, 1));

    TIDE_REQUIRE(tide_arena_is_half(arena));
    return arena;
}

PROGRAM(free_in_rest)
{
    check_with(&first()->free);
}

PROGRAM(dirty_in_rest)
{
    check_with(&first()->dirty);
}

Test(arena_half, check_sees_slots_that_there_are_not)
{
    if (TIDE_UNITS < 2)
        cr_skip_test("arenas are smaller than a huge page");
    assert_broken(run_program("free_in_rest", "TIDEPOOL_SHARDS=1", NULL));
    assert_broken(run_program("dirty_in_rest", "TIDEPOOL_SHARDS=1", NULL));
}
