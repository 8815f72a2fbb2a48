/* test_huge_pages.c - arena/huge_pages.h: which units get huge pages, and how these
 * are purged.  Where arenas are smaller than a huge page, or the system gives
 * none, nothing is ever huge. */
#include "arena/huge_pages.h"

#include "../os/smaps.h"
#include "arenas.h"
#include "arena/shard.h"

#define ALWAYS_SCENARIO(name)                                                                \
    Test(huge_pages, name)                                                                    \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_THP=always"));     \
    }                                                                                         \
    PROGRAM(name)

enum { MOST_LOOKS = 100 };

static bool can_be_huge(void)
{
    return TIDE_UNITS > 0 && has_transparent();
}

static char *unit_of(struct arena *arena, unsigned unit)
{
    return (char *)arena + unit * TIDE_HUGE_PAGE_BYTES;
}

static bool is_huge(const struct arena *arena, unsigned unit)
{
    return tide_units_in(arena, UNIT_HUGE) >> unit & 1;
}

static void touch(struct pool *run)
{
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
}

static struct pool *take_whole_touched(void)
{
    struct pool *run;

    fill();
    run = take_whole();
    touch(run);
    return run;
}

/* A run for each slot of one arena, all touched. */
static struct arena *take_slots(struct pool *runs[TIDE_SLOTS])
{
    struct pool *run = fill();
    struct arena *arena = tide_arena_of(run);

    for (unsigned n = 0; n < USABLE; n++, run = n < USABLE ? take(&filler, 1) : NULL) {
        TIDE_REQUIRE(tide_arena_of(run) == arena);
        touch(run);
        runs[tide_pool_slot(run)] = run;
    }
    return arena;
}

static void look_until_rest(void)
{
    for (int n = 0; decay() != 0; n++)
        TIDE_REQUIRE(n < MOST_LOOKS);
}

/* With every unit huge. */
static struct arena *take_huge(struct pool *runs[TIDE_SLOTS])
{
    struct arena *arena = take_slots(runs);

    look_until_rest();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == TIDE_ALL_UNITS);
    return arena;
}

static void put_slots(struct pool *runs[TIDE_SLOTS], unsigned from, unsigned count)
{
    for (unsigned slot = from; slot < from + count; slot++)
        tide_arena_put_run(runs[slot]);
}

/* ---- Units --------------------------------------------------------------- */

Test(huge_pages, units_are_an_arenas_slots_but_the_headers)
{
    uint64_t all = 0;

    if (TIDE_UNITS == 0)
        cr_skip_test("arenas are smaller than a huge page");
    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++) {
        cr_assert_eq(all & tide_unit_slots(unit), 0);
        cr_assert_eq(tide_bit_count(tide_unit_slots(unit)),
                     TIDE_HUGE_PAGE_BYTES / TIDE_SLOT_BYTES - (unit ? 0 : TIDE_HEADER_SLOTS));
        all |= tide_unit_slots(unit);
    }
    cr_assert_eq(all, TIDE_ALL_FREE);
}

/* ---- Which are made huge ------------------------------------------------ */

SCENARIO(huge_pages, units_full_at_two_looks_become_huge_one_at_a_look)
{
    struct arena *arena = tide_arena_of(take_whole_touched());

    TIDE_REQUIRE(decay() + 1 > TIDE_UNITS * TIDE_HUGE_PAGE_BYTES);
    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++) {
        unsigned before = (1u << unit) - 1;

        TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? before : 0));
        TIDE_REQUIRE(!has_flag(unit_of(arena, unit), "hg"));
        decay();
    }
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++)
        TIDE_REQUIRE(has_flag(unit_of(arena, unit), "hg") == can_be_huge());
    look_until_rest();
    tide_arena_check();
}

SCENARIO(huge_pages, its_pages_are_collapsed_and_keep_their_contents)
{
    struct pool *run = take_whole_touched();
    struct arena *arena = tide_arena_of(run);
    char *bytes = tide_pool_start(run);
    size_t page = tide_os_page_bytes;

    if (!can_be_huge() || !tide_os_collapse(unit_of(arena, 0), TIDE_HUGE_PAGE_BYTES))
        return; /* seen in os/test_huge_pages, which skips */
    for (size_t n = 0; n < tide_pool_bytes(run); n += page)
        bytes[n] = (char)(n / page);
    look_until_rest();
    TIDE_REQUIRE(transparent_bytes(arena) >= 2 * TIDE_HUGE_PAGE_BYTES);
    for (size_t n = 0; n < tide_pool_bytes(run); n++)
        TIDE_REQUIRE(bytes[n] == (n % page ? 1 : (char)(n / page)));
    tide_arena_check();
}

SCENARIO(huge_pages, none_does_while_the_program_grows)
{
    struct arena *arena = tide_arena_of(take_whole_touched());

    for (int n = 0; n < 4; n++) {
        decay();
        TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == 0);
        take_whole();
    }
    look_until_rest();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
}

SCENARIO(huge_pages, one_does_though_other_arenas_come_and_go)
{
    struct arena *arena = tide_arena_of(take_whole_touched());

    for (int n = 0; n < 5; n++) {
        struct pool *other = take_whole();
        size_t made = tide_relaxed(&tide_shard_created);

        decay();
        tide_arena_put_run(other);
        tide_arena_put_run(take_whole());
        TIDE_REQUIRE(tide_relaxed(&tide_shard_created) > made);
        decay();
    }
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
}

SCENARIO(huge_pages, a_unit_with_a_free_slot_does_not)
{
    struct pool *run = take_whole_touched();
    struct arena *arena = tide_arena_of(run);

    change_length(run, USABLE - 1);
    for (int n = 0; n < 4; n++)
        decay();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? 1 : 0));
    TIDE_REQUIRE(!has_flag(unit_of(arena, 0) + TIDE_ARENA_BYTES - 1, "hg"));
}

SCENARIO(huge_pages, a_unit_must_be_full_at_two_looks_in_a_row)
{
    struct pool *run = take_whole_touched();

    for (int n = 0; n < 4; n++) {
        decay();
        change_length(run, 1);
        decay();
        change_length(run, USABLE);
        touch(run);
    }
    TIDE_REQUIRE(tide_units_in(tide_arena_of(run), UNIT_HUGE) == 0);
}

/* Half of unit 1's pages are missing: resident memory would grow. */
SCENARIO(huge_pages, a_sparse_unit_does_not_until_it_is_dense)
{
    struct pool *run;
    struct arena *arena;

    fill();
    run = take_whole();
    arena = tide_arena_of(run);
    memset(tide_pool_start(run), 1, tide_pool_bytes(run) * 3 / 4);
    look_until_rest();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? 1 : 0));
    TIDE_REQUIRE(!has_flag(unit_of(arena, 0) + TIDE_ARENA_BYTES - 1, "hg"));
    touch(run);
    for (int n = 0; n < 20; n++) /* it is examined anew after some looks */
        decay();
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
}

/* As if each slot were a pool of which so many blocks in a hundred are allocated. */
static void pose_as_pools(struct pool *runs[TIDE_SLOTS], enum pool_state state, uint32_t allocated)
{
    for (unsigned slot = TIDE_HEADER_SLOTS; slot < TIDE_SLOTS; slot++) {
        tide_set_relaxed(&runs[slot]->carved, 100);
        tide_set_relaxed(&runs[slot]->left, allocated / 2);
        tide_set_relaxed(&runs[slot]->held, allocated - allocated / 2);
        tide_set_relaxed(&runs[slot]->state, (uint8_t)state);
    }
}

static unsigned huge_units_of_pools(enum pool_state state, uint32_t allocated)
{
    struct pool *runs[TIDE_SLOTS];
    struct arena *arena = take_slots(runs);

    pose_as_pools(runs, state, allocated);
    look_until_rest();
    return tide_units_in(arena, UNIT_HUGE);
}

SCENARIO(huge_pages, pools_must_be_nearly_all_allocated)
{
    unsigned all = can_be_huge() ? TIDE_ALL_UNITS : 0;

    TIDE_REQUIRE(huge_units_of_pools(POOL_FULL, 100) == all);
    TIDE_REQUIRE(huge_units_of_pools(POOL_USED, 88) == all);
    TIDE_REQUIRE(huge_units_of_pools(POOL_USED, 87) == 0);
    TIDE_REQUIRE(huge_units_of_pools(POOL_EMPTY, 100) == 0);
}

SCENARIO(huge_pages, a_look_examines_only_so_many)
{
    enum { ARENAS = 12, ALL = TIDE_UNITS * ARENAS, AT_ONCE = 4 };
    struct pool *wholes[ARENAS];
    int examined = 0, looks = 0;

    fill();
    look_until_rest();
    for (int n = 0; n < ARENAS; n++)
        wholes[n] = take_whole(); /* untouched: found wanting */
    if (!can_be_huge())
        return;
    decay();
    while (examined < ALL) {
        int before = examined;

        decay();
        examined = 0;
        for (int n = 0; n < ARENAS; n++)
            examined += (int)tide_bit_count(tide_units_in(tide_arena_of(wholes[n]), UNIT_WANTING));
        TIDE_REQUIRE(examined - before <= AT_ONCE && ++looks < 10);
    }
    TIDE_REQUIRE(looks >= ALL / AT_ONCE);
    TIDE_REQUIRE(decay() == 0);
}

SCENARIO(huge_pages, a_look_is_due_when_there_are_new_arenas)
{
    fill();
    TIDE_REQUIRE(tide_units_look_is_due() == (TIDE_UNITS > 0));
    decay();
    TIDE_REQUIRE(!tide_units_look_is_due());
}

/* ---- Purging ------------------------------------------------------------ */

SCENARIO(huge_pages, up_to_half_of_a_huge_unit_stays)
{
    struct pool *runs[TIDE_SLOTS];
    struct arena *arena;
    unsigned first = TIDE_SLOTS - TIDE_UNIT_SLOTS, half = TIDE_UNIT_SLOTS / 2;

    if (!can_be_huge())
        return;
    arena = take_huge(runs);
    put_slots(runs, first, half);
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena, 1) && is_resident(tide_pool_start(runs[first])));
    TIDE_REQUIRE(tide_arena_returnable() >= half * TIDE_SLOT_BYTES);
    put_slots(runs, first + half, 1);
    look_until_rest();
    TIDE_REQUIRE(!is_huge(arena, 1) && is_huge(arena, 0));
    TIDE_REQUIRE(has_flag(unit_of(arena, 1), "nh") && has_flag(unit_of(arena, 0), "hg"));
    for (unsigned slot = first; slot < TIDE_SLOTS; slot++)
        TIDE_REQUIRE(is_resident(tide_pool_start(runs[slot])) == (slot > first + half));
    for (unsigned slot = first + half + 1; slot < TIDE_SLOTS; slot++)
        TIDE_REQUIRE(*tide_pool_start(runs[slot]) == 1);
    TIDE_REQUIRE(tide_arena_returnable() == 0);
    tide_arena_check();
}

SCENARIO(huge_pages, an_empty_unit_goes_whole_and_unit_0_keeps_its_header)
{
    struct pool *runs[TIDE_SLOTS];
    struct arena *arena;

    if (!can_be_huge())
        return;
    arena = take_huge(runs);
    put_slots(runs, TIDE_SLOTS - TIDE_UNIT_SLOTS, TIDE_UNIT_SLOTS);
    look_until_rest();
    TIDE_REQUIRE(tide_os_resident_bytes(unit_of(arena, 1)) == 0 && is_huge(arena, 0));
    put_slots(runs, TIDE_HEADER_SLOTS, TIDE_UNIT_SLOTS - TIDE_HEADER_SLOTS - 1);
    look_until_rest(); /* the last slot keeps the arena */
    TIDE_REQUIRE(!is_huge(arena, 0) && is_resident(arena));
    TIDE_REQUIRE(tide_os_resident_bytes(unit_of(arena, 0)) <=
                 TIDE_SLOT_BYTES * (TIDE_HEADER_SLOTS + 1));
    tide_arena_check();
}

SCENARIO(huge_pages, an_ordinary_unit_that_is_full_again_becomes_huge_again)
{
    struct pool *runs[TIDE_SLOTS], *again;
    struct arena *arena;

    if (!can_be_huge())
        return;
    arena = take_huge(runs);
    put_slots(runs, TIDE_SLOTS - TIDE_UNIT_SLOTS, TIDE_UNIT_SLOTS);
    look_until_rest();
    again = take(&nobody, TIDE_UNIT_SLOTS);
    TIDE_REQUIRE(tide_arena_of(again) == arena && again->is_zero);
    TIDE_REQUIRE(is_zero(tide_pool_start(again), tide_pool_bytes(again)));
    touch(again);
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena, 1) && has_flag(unit_of(arena, 1), "hg"));
}

SCENARIO(huge_pages, trim_returns_every_slot)
{
    struct pool *runs[TIDE_SLOTS];
    struct arena *arena;
    size_t returnable;

    if (!can_be_huge())
        return;
    arena = take_huge(runs);
    put_slots(runs, TIDE_SLOTS - 1, 1);
    returnable = tide_arena_returnable();
    TIDE_REQUIRE(returnable >= TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_trim(0) >= returnable && tide_arena_returnable() == 0);
    TIDE_REQUIRE(!is_resident(tide_pool_start(runs[TIDE_SLOTS - 1])));
    TIDE_REQUIRE(is_resident(tide_pool_start(runs[TIDE_SLOTS - 2])));
    TIDE_REQUIRE(!is_huge(arena, 1) && is_huge(arena, 0));
    tide_arena_check();
}

SCENARIO(huge_pages, what_the_kernel_is_at_is_not_purged)
{
    struct pool *runs[TIDE_SLOTS];
    struct arena *arena = take_slots(runs);

    if (TIDE_UNITS == 0)
        return;
    put_slots(runs, TIDE_SLOTS - 2, 2);
    put_slots(runs, TIDE_HEADER_SLOTS, 1);
    tide_set_relaxed(&arena->units, 2 << UNIT_CHANGING);
    tide_arena_trim(0);
    TIDE_REQUIRE(is_resident(tide_pool_start(runs[TIDE_SLOTS - 1])));
    TIDE_REQUIRE(!is_resident(tide_pool_start(runs[TIDE_HEADER_SLOTS])));
    tide_set_relaxed(&arena->units, 0);
    tide_arena_trim(0);
    TIDE_REQUIRE(!is_resident(tide_pool_start(runs[TIDE_SLOTS - 1])));
}

/* ---- Looks and trims at the same time ------------------------------------ */

static _Atomic bool is_over;

static void look_on(void *unused)
{
    (void)unused;
    while (!tide_relaxed(&is_over))
        decay();
}

static void check_run(struct pool *run)
{
    TIDE_REQUIRE(!run->is_zero || is_zero(tide_pool_start(run), tide_pool_bytes(run)));
    touch(run);
}

SCENARIO(huge_pages, threads_use_and_trim_the_arena_meanwhile)
{
    struct pool *runs[TIDE_SLOTS];
    struct peer peer;

    take_slots(runs);
    peer_start(&peer);
    peer_ask(&peer, look_on, NULL);
    for (int n = 0; n < 300; n++) {
        struct tide_tenant other = { .arena = NULL };
        struct pool *run;

        put_slots(runs, TIDE_SLOTS - 1, 1);
        if (n % 3 == 0)
            tide_arena_trim(0);
        run = runs[TIDE_SLOTS - 1] = take(&other, 1);
        check_run(run);
        tide_arena_leave(&other);
        for (unsigned slot = TIDE_HEADER_SLOTS; slot < TIDE_SLOTS; slot++)
            TIDE_REQUIRE(*tide_pool_start(runs[slot]) == 1);
    }
    tide_set_relaxed(&is_over, true);
    peer_wait(&peer);
    peer_end(&peer);
    tide_arena_check();
}

/* ---- TIDEPOOL_THP -------------------------------------------------------- */

ALWAYS_SCENARIO(always_asks_for_new_arenas)
{
    struct arena *arena = tide_arena_of(fill());

    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == (can_be_huge() ? TIDE_ALL_UNITS : 0));
    for (unsigned unit = 0; TIDE_ALL_UNITS >> unit != 0; unit++)
        TIDE_REQUIRE(has_flag(unit_of(arena, unit), "hg") == can_be_huge());
}

/* Its huge page made slots resident that were never taken. */
ALWAYS_SCENARIO(always_trims_what_the_huge_page_brought)
{
    struct pool *run = fill();
    struct arena *arena = tide_arena_of(run);

    if (!can_be_huge())
        return;
    touch(run);
    TIDE_REQUIRE(tide_arena_returnable() >=
                 (TIDE_UNIT_SLOTS - TIDE_HEADER_SLOTS - 1) * TIDE_SLOT_BYTES);
    tide_arena_trim(0);
    TIDE_REQUIRE(tide_os_resident_bytes(unit_of(arena, 0)) <=
                 (TIDE_HEADER_SLOTS + 1) * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_returnable() == 0 && !is_huge(arena, 0));
    TIDE_REQUIRE(*tide_pool_start(run) == 1);
    tide_arena_check();
}

static void check_never(void)
{
    struct arena *arena = tide_arena_of(take_whole_touched());

    for (int n = 0; n < 4; n++)
        decay();
    TIDE_REQUIRE(!tide_units_look_is_due());
    TIDE_REQUIRE(tide_units_in(arena, UNIT_HUGE) == 0 && !has_flag(arena, "hg"));
    TIDE_REQUIRE(has_flag(arena, "nh") == (tide_os_huge_pages() == TIDE_HUGE_PAGES_ALWAYS));
}

PROGRAM(never)
{
    check_never();
}

Test(huge_pages, never_makes_none_and_refuses_what_the_system_would_give)
{
    assert_ended_well(run_program("never", "TIDEPOOL_SHARDS=1", "TIDEPOOL_THP=never"));
}
