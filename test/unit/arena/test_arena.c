/* test_arena.c - arena/arena.h and arena/layout.h, on arenas that the manager
 * doesn't know */
#include "arena/arena.h"

#include <errno.h>

#include "../unit.h"
#include "arena/address_map.h"
#include "os/map.h"
#include "store/purge.h"
#include "store/store.h"

enum { USABLE = TIDE_SLOTS - TIDE_HEADER_SLOTS };

static struct arena *arena;

/* Of memory without pages. */
static void make_arena(void)
{
    tide_store_purge(0, SIZE_MAX);
    arena = tide_arena_create(3, 0);
    cr_assert(arena);
    tide_lock(&arena->lock);
}

static void drop_arena(void)
{
    tide_arena_check_locked(arena);
    tide_unlock(&arena->lock);
    tide_arena_destroy(arena);
}

TestSuite(arena, .init = make_arena, .fini = drop_arena);
TestSuite(arena_life);

static struct pool *take(unsigned slots)
{
    struct pool *run = tide_arena_take_locked(arena, slots);

    tide_arena_check_locked(arena);
    return run;
}

static void put(struct pool *run)
{
    tide_arena_put_locked(arena, run);
    tide_arena_check_locked(arena);
}

static uint64_t bits_of(const struct pool *run)
{
    return tide_bit_run(tide_pool_slot(run), tide_relaxed(&run->slots));
}

/* run is what it should be, slot by slot and address by address. */
static void assert_is_run(const struct pool *run, unsigned slots)
{
    char *start = tide_pool_start(run);

    cr_assert_eq(tide_relaxed(&run->state), POOL_RUN);
    cr_assert_eq(tide_relaxed(&run->slots), slots);
    cr_assert_null(tide_relaxed(&run->owner));
    cr_assert_eq(tide_pool_bytes(run), slots * TIDE_SLOT_BYTES);
    cr_assert_eq(tide_arena_of(start), arena);
    cr_assert(is_aligned(start, TIDE_SLOT_BYTES));
    cr_assert_eq(tide_relaxed(&arena->free) & bits_of(run), 0);
    cr_assert_eq(tide_relaxed(&arena->dirty) & bits_of(run), bits_of(run));
    for (unsigned n = 0; n < slots; n++) {
        char *slot = start + n * TIDE_SLOT_BYTES;

        cr_assert_eq(tide_slot_of(slot), tide_pool_slot(run) + n);
        cr_assert_eq(tide_pool_of(slot), run);
        cr_assert_eq(tide_pool_of(slot + TIDE_SLOT_BYTES - 1), run);
        cr_assert_eq(tide_relaxed(&tide_slot_pool(slot)->state), n == 0 ? POOL_RUN : POOL_REST);
        cr_assert_null(tide_relaxed(&tide_slot_pool(slot)->owner));
    }
}

/* ---- Life --------------------------------------------------------------- */

Test(arena, a_new_one_has_all_slots_free_and_clean)
{
    cr_assert(is_aligned(arena, TIDE_ARENA_BYTES));
    cr_assert_eq(arena->shard, 3);
    cr_assert_eq(tide_relaxed(&arena->free), TIDE_ALL_FREE);
    cr_assert_eq(tide_relaxed(&arena->dirty), 0);
    cr_assert_eq(tide_arena_free_slots(arena), USABLE);
    cr_assert_eq(arena->tenants, 0);
    cr_assert(tide_is_in_arena(arena));
    cr_assert(tide_is_in_arena((char *)arena + TIDE_ARENA_BYTES - 1));
}

Test(arena, the_header_fits_in_the_slots_kept_for_it)
{
    cr_assert_leq(sizeof(struct arena), TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES);
    cr_assert_gt(sizeof(struct arena), (TIDE_HEADER_SLOTS - 1) * TIDE_SLOT_BYTES);
    cr_assert_eq(tide_bit_count(TIDE_ALL_FREE), USABLE);
    cr_assert_not(is_resident((char *)arena + TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES));
}

/* What is dirty beyond what was so before. */
static size_t dirty_since(size_t before)
{
    return tide_relaxed(&tide_store_dirty) - before;
}

Test(arena_life, a_destroyed_one_is_the_stores_and_dirty)
{
    struct arena *gone = tide_arena_create(0, 0);
    size_t dirty = tide_relaxed(&tide_store_dirty);
    struct tide_range found;

    cr_assert(gone);
    cr_assert_not(tide_store_find(gone, &found), "it is used");
    tide_arena_destroy(gone);
    cr_assert_not(tide_is_in_arena(gone));
    cr_assert_eq(dirty_since(dirty), TIDE_ARENA_BYTES);
    cr_assert(tide_store_find(gone, &found) && found.state == RANGE_DIRTY);
    cr_assert(tide_store_find((char *)gone + TIDE_ARENA_BYTES - 1, &found));
    cr_assert(found.state == RANGE_DIRTY && is_mapped(gone));
}

/* One that was used, and what is free of it. */
static struct arena *use_and_destroy(void)
{
    struct arena *gone = tide_arena_create(1, 0);
    char *start = (char *)gone + TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES;

    cr_assert(gone);
    while (tide_arena_take_locked(gone, 1))
        ;
    memset(start, 1, USABLE * TIDE_SLOT_BYTES);
    tide_set_relaxed(&gone->huge, 0xff);
    gone->tenants = 7;
    tide_arena_destroy(gone);
    return gone;
}

Test(arena_life, one_made_of_dirty_memory_has_all_slots_dirty_and_a_new_header)
{
    struct arena *gone = use_and_destroy(), *again;
    size_t dirty = tide_relaxed(&tide_store_dirty), idle = tide_relaxed(&tide_arena_idle_slots);
    size_t grown = tide_store_totals().grown;
    struct pool *run;

    again = tide_arena_create(3, 0);
    cr_assert_eq(again, gone);
    cr_assert_eq(tide_store_totals().grown, grown, "the OS wasn't asked");
    cr_assert_eq(dirty_since(dirty), -TIDE_ARENA_BYTES);
    cr_assert_eq(again->shard, 3);
    cr_assert_eq(again->tenants, 0);
    cr_assert_eq(tide_relaxed(&again->huge), 0);
    cr_assert_eq(tide_relaxed(&again->free), TIDE_ALL_FREE);
    cr_assert_eq(tide_relaxed(&again->dirty), TIDE_ALL_FREE);
    cr_assert_eq(tide_relaxed(&tide_arena_idle_slots), idle + USABLE);
    cr_assert(tide_arena_has_resident(again, TIDE_WIDE_SLOTS));
    tide_arena_check_locked(again);
    run = tide_arena_take_locked(again, 2);
    cr_assert_not(run->is_zero);
    cr_assert_eq(run->fresh, 0);
    cr_assert_eq(tide_relaxed(&tide_arena_idle_slots), idle + USABLE - 2);
    cr_assert_eq(*tide_pool_start(run), 1);
    tide_arena_put_locked(again, run);
    tide_arena_destroy(again);
}

Test(arena_life, one_made_of_purged_memory_has_all_slots_clean)
{
    struct arena *gone = use_and_destroy(), *again;
    size_t grown = tide_store_totals().grown;
    struct pool *run;

    tide_store_purge(0, SIZE_MAX);
    again = tide_arena_create(3, 0);
    cr_assert_eq(again, gone);
    cr_assert_eq(tide_store_totals().grown, grown);
    cr_assert_eq(again->tenants, 0);
    cr_assert_eq(tide_relaxed(&again->free), TIDE_ALL_FREE);
    cr_assert_eq(tide_relaxed(&again->dirty), 0);
    while ((run = tide_arena_take_locked(again, 1))) {
        cr_assert(run->is_zero && is_zero(tide_pool_start(run), tide_pool_bytes(run)));
        cr_assert_eq(run->fresh, 1);
    }
    tide_arena_destroy(again);
}

/* ---- Making up ------------------------------------------------------------ */

/* Used. */
static struct tide_range *take_range(size_t bytes)
{
    struct tide_request request = { bytes, tide_os_page_bytes, 0, RANGE_USED, false };
    size_t fresh;
    struct tide_range *range = tide_store_take(&request, &fresh);

    cr_assert(range);
    return range;
}

/* Makes dirty ranges that no arena fits in, as many bytes as stay used between them. */
static void make_small_dirty(size_t bytes)
{
    enum { PIECES = 16 };
    struct tide_range *ranges[2 * PIECES];

    for (int n = 0; n < 2 * PIECES; n++)
        ranges[n] = take_range(bytes / PIECES);
    for (int n = 0; n < 2 * PIECES; n += 2)
        tide_store_put(ranges[n], RANGE_DIRTY);
}

Test(arena_life, for_one_of_new_memory_as_much_that_is_dirty_goes)
{
    size_t dirty;

    tide_store_purge(0, SIZE_MAX);
    make_small_dirty(tide_relaxed(&tide_store_used) + 4 * TIDE_ARENA_BYTES);
    dirty = tide_relaxed(&tide_store_dirty);
    arena = tide_arena_create(0, 0);
    cr_assert(arena);
    cr_assert_eq(dirty_since(dirty), -TIDE_ARENA_BYTES);
    cr_assert_eq(tide_relaxed(&arena->dirty), 0);
    tide_arena_destroy(arena);
}

Test(arena_life, little_that_is_dirty_stays)
{
    size_t dirty;

    tide_store_purge(0, SIZE_MAX);
    take_range(TIDE_ARENA_BYTES);
    make_small_dirty(16 * tide_os_page_bytes);
    dirty = tide_relaxed(&tide_store_dirty);
    cr_assert_geq(dirty, 16 * tide_os_page_bytes);
    arena = tide_arena_create(0, 0);
    cr_assert(arena);
    cr_assert_eq(dirty_since(dirty), 0);
    tide_arena_destroy(arena);
}

Test(arena_life, without_memory_there_is_none)
{
    tide_os_fail_map_every(1);
    do { /* what the store has */
        errno = 0;
        arena = tide_arena_create(0, 0);
    } while (arena);
    cr_assert_eq(errno, ENOMEM);
    tide_os_fail_map_every(0);
    arena = tide_arena_create(0, 0);
    cr_assert(arena);
    tide_arena_destroy(arena);
}

/* ---- Taking and putting back -------------------------------------------- */

Test(arena, a_run_takes_its_slots_and_gives_them_back)
{
    for (unsigned slots = 1; slots <= TIDE_WIDE_SLOTS; slots++) {
        struct pool *run = take(slots);

        cr_assert(run, "%u slots", slots);
        assert_is_run(run, slots);
        cr_assert_eq(tide_arena_free_slots(arena), USABLE - slots);
        put(run);
        cr_assert_eq(tide_relaxed(&arena->free), TIDE_ALL_FREE);
        cr_assert_eq(tide_relaxed(&run->state), POOL_FREE);
    }
}

Test(arena, runs_do_not_overlap_and_fill_the_arena)
{
    struct pool *runs[USABLE];
    uint64_t taken = 0;

    for (unsigned n = 0; n < USABLE; n++) {
        runs[n] = take(1);
        cr_assert(runs[n]);
        cr_assert_eq(taken & bits_of(runs[n]), 0);
        taken |= bits_of(runs[n]);
    }
    cr_assert_eq(taken, TIDE_ALL_FREE);
    cr_assert_eq(tide_relaxed(&arena->free), 0);
    cr_assert_null(take(1));
    for (unsigned n = 0; n < USABLE; n++)
        put(runs[n]);
    cr_assert_eq(tide_relaxed(&arena->free), TIDE_ALL_FREE);
}

/* All single slots, in order of address. */
static void take_singles(struct pool *runs[USABLE])
{
    for (unsigned n = 0; n < USABLE; n++) {
        runs[n] = take(1);
        cr_assert(runs[n] && (n == 0 || runs[n] == runs[n - 1] + 1));
    }
}

Test(arena, a_run_is_found_in_a_gap_that_just_fits)
{
    struct pool *runs[USABLE];

    take_singles(runs);
    for (unsigned n = 0; n < TIDE_WIDE_SLOTS - 1; n++)
        put(runs[5 + n]);
    put(runs[5 + TIDE_WIDE_SLOTS]);
    cr_assert_null(take(TIDE_WIDE_SLOTS));
    put(runs[5 + TIDE_WIDE_SLOTS - 1]);
    cr_assert_eq(take(TIDE_WIDE_SLOTS), runs[5]);
    cr_assert_null(take(2));
    cr_assert_eq(take(1), runs[5 + TIDE_WIDE_SLOTS]);
}

/* The last slots of the arena. */
Test(arena, a_run_does_not_reach_past_the_end)
{
    struct pool *runs[USABLE];

    take_singles(runs);
    for (unsigned n = 1; n < TIDE_WIDE_SLOTS; n++)
        put(runs[USABLE - n]);
    cr_assert_null(take(TIDE_WIDE_SLOTS));
    cr_assert_eq(take(TIDE_WIDE_SLOTS - 1), runs[USABLE - TIDE_WIDE_SLOTS + 1]);
}

Test(arena, a_run_is_zero_until_its_slots_were_used)
{
    struct pool *run = take(2);

    cr_assert(run->is_zero);
    cr_assert(is_zero(tide_pool_start(run), tide_pool_bytes(run)));
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
    put(run);
    cr_assert_eq(tide_relaxed(&arena->dirty), bits_of(run));
    cr_assert_eq(take(2), run);
    cr_assert_not(run->is_zero);
}

Test(arena, a_run_with_one_used_slot_is_not_zero)
{
    struct pool *used = take(1), *run;

    put(used);
    run = take(TIDE_WIDE_SLOTS);
    cr_assert_eq(run, used);
    cr_assert_not(run->is_zero);
    cr_assert_eq(run->fresh, TIDE_WIDE_SLOTS - 1);
}

Test(arena, slots_that_were_used_are_taken_before_clean_ones)
{
    struct pool *clean = take(1), *used = take(1);

    put(clean);
    put(used);
    tide_set_relaxed(&arena->dirty, bits_of(used));
    cr_assert_eq(take(1), used);
    cr_assert_eq(take(1), clean);
}

/* ---- Live bits ---------------------------------------------------------- */

Test(arena, each_sixteen_bytes_have_a_live_bit_of_their_own)
{
    char *start = tide_pool_start(take(1)), *end = (char *)arena + TIDE_ARENA_BYTES;

    for (char *block = start; block < start + 4096; block += TIDE_ALIGNMENT) {
        cr_assert_not(tide_arena_is_live(block));
        cr_assert_not(tide_arena_mark_live(block));
        cr_assert(tide_arena_is_live(block));
        cr_assert(tide_arena_mark_live(block));
        cr_assert_not(tide_arena_is_live(block + TIDE_ALIGNMENT));
    }
    cr_assert(tide_arena_clear_live(start));
    cr_assert_not(tide_arena_is_live(start));
    cr_assert_not(tide_arena_clear_live(start));
    cr_assert(tide_arena_is_live(start + TIDE_ALIGNMENT));
    cr_assert_not(tide_arena_mark_live(end - TIDE_ALIGNMENT));
    cr_assert_lt((char *)&arena->live[sizeof arena->live / sizeof *arena->live - 1],
                 (char *)arena + TIDE_HEADER_SLOTS * TIDE_SLOT_BYTES);
    cr_assert(tide_relaxed(&arena->live[sizeof arena->live / sizeof *arena->live - 1]) >> 63);
}

/* ---- The check itself --------------------------------------------------- */

static struct pool *run;

static void check_lost_slot(void)
{
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | bits_of(run));
    tide_arena_check_locked(arena);
}

static void check_free_header(void)
{
    tide_set_relaxed(&arena->free, tide_relaxed(&arena->free) | 1);
    tide_arena_check_locked(arena);
}

static void check_wrong_way_back(void)
{
    run[1].back++;
    tide_arena_check_locked(arena);
}

static void check_too_long(void)
{
    run->slots++;
    tide_arena_check_locked(arena);
}

static void check_clean_but_taken(void)
{
    tide_set_relaxed(&arena->dirty, 0);
    tide_arena_check_locked(arena);
}

Test(arena, check_sees_what_is_broken)
{
    run = take(2);
    assert_broken(run_apart(check_lost_slot));
    assert_broken(run_apart(check_free_header));
    assert_broken(run_apart(check_wrong_way_back));
    assert_broken(run_apart(check_too_long));
    assert_broken(run_apart(check_clean_but_taken));
}
