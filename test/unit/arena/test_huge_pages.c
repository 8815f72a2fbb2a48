/* test_huge_pages.c - arena/huge_pages.h: which arenas get huge pages, and how these
 * are purged.  Where arenas are smaller than a huge page, or the system gives
 * none, nothing is ever huge. */
#include "arena/huge_pages.h"

#include "../os/smaps.h"
#include "arenas.h"
#include "os/huge_pages.h"

#define ALWAYS_SCENARIO(name)                                                                \
    Test(huge_pages, name)                                                                    \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_THP=always"));     \
    }                                                                                         \
    PROGRAM(name)

enum { MOST_LOOKS = 100 };

static bool can_be_huge(void)
{
    return TIDE_ARENAS_MAY_BE_HUGE && has_transparent();
}

static bool is_huge(const struct arena *arena)
{
    return tide_arena_is(arena, ARENA_HUGE);
}

static bool has_arena_flag(struct arena *arena, const char *flag)
{
    return has_flag((char *)arena, flag);
}

static struct arena *take_whole_touched(void)
{
    struct arena *arena;

    fill();
    arena = take_whole();
    touch_slots(arena);
    return arena;
}

static void look_until_rest(void)
{
    for (int n = 0; decay() != 0; n++)
        TIDE_REQUIRE(n < MOST_LOOKS);
}

static struct arena *take_huge(void)
{
    struct arena *arena = take_whole_touched();

    look_until_rest();
    TIDE_REQUIRE(is_huge(arena));
    return arena;
}

static bool is_run_resident(struct arena *arena, unsigned n)
{
    return is_resident(tide_pool_start(nth_run(arena, n)));
}

/* ---- Which are made huge ------------------------------------------------ */

SCENARIO(huge_pages, arenas_full_at_two_looks_become_huge_one_at_a_look)
{
    enum { ARENAS = 3 };
    struct arena *arenas[ARENAS];

    fill();
    for (int n = 0; n < ARENAS; n++)
        touch_slots(arenas[n] = take_whole());
    TIDE_REQUIRE(decay() >= (TIDE_ARENAS_MAY_BE_HUGE ? ARENAS * TIDE_HUGE_PAGE_BYTES : 0));
    for (unsigned looks = 0; looks <= ARENAS; looks++) {
        unsigned huge = 0;

        for (int n = 0; n < ARENAS; n++) {
            huge += is_huge(arenas[n]);
            TIDE_REQUIRE(has_arena_flag(arenas[n], "hg") == is_huge(arenas[n]));
        }
        TIDE_REQUIRE(huge == (can_be_huge() ? looks : 0));
        decay();
    }
    look_until_rest();
    tide_arena_check();
}

SCENARIO(huge_pages, its_pages_are_collapsed_and_keep_their_contents)
{
    struct arena *arena = take_whole_touched();
    char *bytes = slots_of(arena);
    size_t page = tide_os_page_bytes, length = USABLE * TIDE_SLOT_BYTES;

    if (!can_be_huge() || !tide_os_collapse(arena, TIDE_HUGE_PAGE_BYTES))
        return; /* seen in os/test_huge_pages, which skips */
    for (size_t n = 0; n < length; n += page)
        bytes[n] = (char)(n / page);
    look_until_rest();
    TIDE_REQUIRE(transparent_bytes(arena) >= TIDE_HUGE_PAGE_BYTES);
    for (size_t n = 0; n < length; n++)
        TIDE_REQUIRE(bytes[n] == (n % page ? 1 : (char)(n / page)));
    tide_arena_check();
}

SCENARIO(huge_pages, none_does_while_the_program_grows)
{
    struct arena *arena = take_whole_touched();

    for (int n = 0; n < 4; n++) {
        decay();
        TIDE_REQUIRE(!is_huge(arena));
        take_whole();
    }
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena) == can_be_huge());
}

SCENARIO(huge_pages, one_does_though_other_arenas_come_and_go)
{
    struct arena *arena = take_whole_touched();

    for (int n = 0; n < 5; n++) {
        struct arena *other = take_whole();
        size_t made = created();

        decay();
        keep_runs(other, 0);
        keep_runs(take_whole(), 0);
        TIDE_REQUIRE(created() > made);
        decay();
    }
    TIDE_REQUIRE(is_huge(arena) == can_be_huge());
}

SCENARIO(huge_pages, one_with_a_free_slot_does_not)
{
    struct arena *arena = take_whole_touched();

    keep_runs(arena, USABLE - 1);
    for (int n = 0; n < 4; n++)
        decay();
    TIDE_REQUIRE(!is_huge(arena) && !has_arena_flag(arena, "hg"));
    take_free_slots(arena);
    touch_slots(arena);
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena) == can_be_huge());
}

SCENARIO(huge_pages, it_must_be_full_at_two_looks_in_a_row)
{
    struct arena *arena = take_whole_touched();

    for (int n = 0; n < 4; n++) {
        decay();
        keep_runs(arena, 1);
        decay();
        take_free_slots(arena);
        touch_slots(arena);
    }
    TIDE_REQUIRE(!is_huge(arena));
}

/* A quarter of its pages are missing: resident memory would grow. */
SCENARIO(huge_pages, a_sparse_one_does_not_until_it_is_dense)
{
    struct arena *arena;

    fill();
    arena = take_whole();
    memset(slots_of(arena), 1, USABLE * TIDE_SLOT_BYTES * 3 / 4);
    look_until_rest();
    TIDE_REQUIRE(!is_huge(arena) && !has_arena_flag(arena, "hg"));
    touch_slots(arena);
    for (int n = 0; n < 20; n++) /* it is examined anew after some looks */
        decay();
    TIDE_REQUIRE(is_huge(arena) == can_be_huge());
}

/* As if each slot were a pool of which so many blocks in a hundred are allocated. */
static bool is_huge_of_pools(enum pool_state state, uint32_t allocated)
{
    struct arena *arena = take_whole_touched();

    for (unsigned n = 0; n < USABLE; n++) {
        struct pool *pool = nth_run(arena, n);

        tide_set_relaxed(&pool->carved, 100);
        tide_set_relaxed(&pool->left, allocated / 2);
        tide_set_relaxed(&pool->held, allocated - allocated / 2);
        tide_set_relaxed(&pool->state, (uint8_t)state);
    }
    look_until_rest();
    return is_huge(arena);
}

SCENARIO(huge_pages, pools_must_be_nearly_all_allocated)
{
    TIDE_REQUIRE(is_huge_of_pools(POOL_FULL, 100) == can_be_huge());
    TIDE_REQUIRE(is_huge_of_pools(POOL_USED, 88) == can_be_huge());
    TIDE_REQUIRE(!is_huge_of_pools(POOL_USED, 87));
    TIDE_REQUIRE(!is_huge_of_pools(POOL_EMPTY, 100));
}

SCENARIO(huge_pages, a_look_examines_only_so_many)
{
    enum { ARENAS = 24, AT_ONCE = 4 };
    struct arena *wholes[ARENAS];
    int examined = 0, looks = 0;

    fill();
    look_until_rest();
    for (int n = 0; n < ARENAS; n++)
        wholes[n] = take_whole(); /* untouched: found wanting */
    if (!can_be_huge())
        return;
    decay();
    while (examined < ARENAS) {
        int before = examined;

        decay();
        examined = 0;
        for (int n = 0; n < ARENAS; n++)
            examined += tide_arena_is(wholes[n], ARENA_WANTING);
        TIDE_REQUIRE(examined - before <= AT_ONCE && ++looks < 10);
    }
    TIDE_REQUIRE(looks >= ARENAS / AT_ONCE);
    TIDE_REQUIRE(decay() == 0);
}

SCENARIO(huge_pages, a_look_is_due_when_there_are_new_arenas)
{
    fill();
    TIDE_REQUIRE(tide_huge_look_is_due() == TIDE_ARENAS_MAY_BE_HUGE);
    decay();
    TIDE_REQUIRE(!tide_huge_look_is_due());
}

/* ---- Purging ------------------------------------------------------------ */

SCENARIO(huge_pages, up_to_half_of_a_huge_arena_stays)
{
    struct arena *arena;
    unsigned half = USABLE / 2;

    if (!can_be_huge())
        return;
    arena = take_huge();
    keep_runs(arena, USABLE - half);
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena) && is_run_resident(arena, USABLE - 1));
    TIDE_REQUIRE(tide_arena_returnable() >= half * TIDE_SLOT_BYTES);
    tide_arena_put_run(nth_run(arena, 0));
    look_until_rest();
    TIDE_REQUIRE(!is_huge(arena) && has_arena_flag(arena, "nh") && is_resident(arena));
    for (unsigned n = 0; n < USABLE; n++) {
        bool is_taken = n > 0 && n < USABLE - half;

        TIDE_REQUIRE(is_run_resident(arena, n) == is_taken);
        TIDE_REQUIRE(!is_taken || *tide_pool_start(nth_run(arena, n)) == 1);
    }
    TIDE_REQUIRE(tide_arena_returnable() == 0);
    tide_arena_check();
}

SCENARIO(huge_pages, an_ordinary_one_that_is_full_again_becomes_huge_again)
{
    struct arena *arena;

    if (!can_be_huge())
        return;
    arena = take_huge();
    keep_runs(arena, 1);
    look_until_rest();
    TIDE_REQUIRE(!is_huge(arena));
    take_free_slots(arena);
    for (unsigned n = 1; n < USABLE; n++)
        TIDE_REQUIRE(nth_run(arena, n)->is_zero &&
                     is_zero(tide_pool_start(nth_run(arena, n)), TIDE_SLOT_BYTES));
    touch_slots(arena);
    look_until_rest();
    TIDE_REQUIRE(is_huge(arena) && has_arena_flag(arena, "hg"));
}

SCENARIO(huge_pages, trim_returns_every_slot)
{
    struct arena *arena, *other;
    size_t returnable;

    if (!can_be_huge())
        return;
    arena = take_huge();
    other = take_huge();
    keep_runs(arena, USABLE - 1);
    returnable = tide_arena_returnable();
    TIDE_REQUIRE(returnable >= TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_trim(0) >= returnable && tide_arena_returnable() == 0);
    TIDE_REQUIRE(!is_run_resident(arena, USABLE - 1) && is_run_resident(arena, USABLE - 2));
    TIDE_REQUIRE(!is_huge(arena) && is_huge(other));
    tide_arena_check();
}

SCENARIO(huge_pages, what_the_kernel_is_at_is_not_purged)
{
    struct arena *arena = take_whole_touched();

    keep_runs(arena, USABLE - 2);
    tide_set_relaxed(&arena->huge, ARENA_CHANGING);
    tide_arena_trim(0);
    TIDE_REQUIRE(is_run_resident(arena, USABLE - 1) && is_run_resident(arena, USABLE - 2));
    tide_set_relaxed(&arena->huge, 0);
    tide_arena_trim(0);
    TIDE_REQUIRE(!is_run_resident(arena, USABLE - 1) && !is_run_resident(arena, USABLE - 2));
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
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
}

SCENARIO(huge_pages, threads_use_and_trim_the_arena_meanwhile)
{
    struct arena *arena = take_whole_touched();
    struct pool *last = nth_run(arena, USABLE - 1); /* then any, as that may be purged just now */
    struct peer peer;

    take_free_slots(filler.arena);
    peer_start(&peer);
    peer_ask(&peer, look_on, NULL);
    for (int n = 0; n < 300; n++) {
        struct tide_tenant other = { .arena = NULL };

        tide_arena_put_run(last);
        if (n % 3 == 0)
            tide_arena_trim(0);
        last = take(&other, 1);
        tide_arena_leave(&other);
        check_run(last);
        for (unsigned slot = 0; slot < USABLE - 1; slot++)
            TIDE_REQUIRE(*tide_pool_start(nth_run(arena, slot)) == 1);
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

    TIDE_REQUIRE(is_huge(arena) == can_be_huge());
    if (TIDE_ARENAS_MAY_BE_HUGE)
        TIDE_REQUIRE(has_arena_flag(arena, "hg") == can_be_huge());
}

/* Its huge page made slots resident that were never taken. */
ALWAYS_SCENARIO(always_trims_what_the_huge_page_brought)
{
    struct pool *run = fill();
    struct arena *arena = tide_arena_of(run);

    if (!can_be_huge())
        return;
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
    TIDE_REQUIRE(tide_arena_returnable() >= (USABLE - 1) * TIDE_SLOT_BYTES);
    tide_arena_trim(0);
    TIDE_REQUIRE(tide_os_resident_bytes(arena) <= (TIDE_HEADER_SLOTS + 1) * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_returnable() == 0 && !is_huge(arena));
    TIDE_REQUIRE(*tide_pool_start(run) == 1);
    tide_arena_check();
}

static void check_never(void)
{
    struct arena *arena = take_whole_touched();

    for (int n = 0; n < 4; n++)
        decay();
    TIDE_REQUIRE(!tide_huge_look_is_due());
    TIDE_REQUIRE(!is_huge(arena) && !has_arena_flag(arena, "hg"));
    TIDE_REQUIRE(has_arena_flag(arena, "nh") == (tide_os_huge_pages() == TIDE_HUGE_PAGES_ALWAYS));
}

PROGRAM(never)
{
    check_never();
}

Test(huge_pages, never_makes_none_and_refuses_what_the_system_would_give)
{
    assert_ended_well(run_program("never", "TIDEPOOL_SHARDS=1", "TIDEPOOL_THP=never"));
}
