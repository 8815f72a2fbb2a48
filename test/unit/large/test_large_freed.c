/* test_large_freed.c - large/large.h: what a freed block's memory is good for, and what is
 * zero
 */
#include "large_blocks.h"

/* ---- What was freed ------------------------------------------------------- */

static size_t faults(void)
{
    struct rusage usage;

    TIDE_REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return (size_t)usage.ru_minflt;
}

LARGE_SCENARIO(a_freed_block_serves_other_sizes_without_faults)
{
    char *freed = free_stretch(16 * MIB), *blocks[32];
    size_t before, after, count = 0;

    before = faults();
    for (size_t size = MIB / 4; size <= MIB; size += MIB / 8, count++)
        memset(blocks[count] = take(size, PAGE), 1, size);
    after = faults();
    TIDE_REQUIRE(after - before < 16); /* none of 1,000 pages; some of the store's own */
    for (size_t n = 0; n < count; n++)
        TIDE_REQUIRE(blocks[n] >= freed && blocks[n] < freed + 16 * MIB);
}

LARGE_SCENARIO(the_smallest_free_range_that_suits_is_taken)
{
    char *small, *middle, *large;

    become_large();
    small = free_stretch(MIB);
    middle = free_stretch(2 * MIB);
    large = free_stretch(4 * MIB);
    TIDE_REQUIRE(take(MIB + MIB / 2, PAGE) == middle);
    TIDE_REQUIRE(take(MIB, PAGE) == small);
    TIDE_REQUIRE(take(MIB, PAGE) == large);
}

LARGE_SCENARIO(neighbours_join_in_any_order)
{
    static const unsigned orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 0, 2, 1 }, { 1, 0, 2 } };

    for (int n = 0; n < 4; n++) {
        char *row[5], *whole;

        take_row(row, 5, MIB);
        for (int k = 0; k < 3; k++)
            put(row[1 + orders[n][k]]);
        TIDE_REQUIRE(tide_store_totals().dirty_ranges == 1);
        whole = take(3 * MIB, PAGE);
        TIDE_REQUIRE(whole == row[1] && tide_store_totals().dirty_ranges == 0);
        tide_store_check();
    }
}

LARGE_SCENARIO(an_aligned_block_lies_in_a_freed_one)
{
    char *freed = free_stretch(4 * TIDE_ARENA_BYTES);
    char *block = take(TIDE_ARENA_BYTES, TIDE_ARENA_BYTES);

    TIDE_REQUIRE(block >= freed && block + TIDE_ARENA_BYTES <= freed + 4 * TIDE_ARENA_BYTES);
    TIDE_REQUIRE(block[0] == 7);
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 3 * TIDE_ARENA_BYTES);
}

LARGE_SCENARIO(what_stays_free_is_purged)
{
    char *freed = free_stretch(4 * MIB);

    tide_options.decay_ms = 1;
    TIDE_REQUIRE(resident_pages(freed, 4 * MIB) == 4 * MIB / PAGE);
    while (tide_store_decay() > 0)
        usleep(1000);
    TIDE_REQUIRE(resident_pages(freed, 4 * MIB) == 0 && is_mapped(freed));
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 0);
    tide_options.decay_ms = 86400000;
    freed = free_stretch(4 * MIB);
    TIDE_REQUIRE(tide_store_decay() == 4 * MIB);
    TIDE_REQUIRE(resident_pages(freed, 4 * MIB) == 4 * MIB / PAGE);
}

LARGE_SCENARIO(a_purge_keeps_what_it_is_told_to)
{
    char *row[5], *first, *second;

    become_large();
    take_row(row, 5, 2 * MIB);
    put(first = memset(row[1], 1, 2 * MIB));
    put(second = memset(row[3], 1, 2 * MIB));
    TIDE_REQUIRE(tide_store_purge(4 * MIB, SIZE_MAX) == 0);
    TIDE_REQUIRE(tide_store_purge(2 * MIB, SIZE_MAX) == 2 * MIB);
    TIDE_REQUIRE(resident_pages(first, 2 * MIB) == 0); /* it was free for longer */
    TIDE_REQUIRE(resident_pages(second, 2 * MIB) == 2 * MIB / PAGE);
    TIDE_REQUIRE(tide_store_purge(0, MIB) == MIB);
    TIDE_REQUIRE(resident_pages(second, 2 * MIB) == MIB / PAGE);
    TIDE_REQUIRE(tide_store_purge(0, SIZE_MAX) == MIB && tide_store_purge(0, SIZE_MAX) == 0);
}

LARGE_SCENARIO(what_does_not_suit_goes_as_other_memory_is_taken)
{
    char *freed = free_stretch(24 * MIB);

    take(64 * MIB, PAGE);
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 0);
    TIDE_REQUIRE(resident_pages(freed, 24 * MIB) == 0);
}

LARGE_SCENARIO(but_it_stays_while_it_is_little)
{
    char *freed;

    become_large();
    freed = free_stretch(4 * MIB);
    take(16 * MIB, PAGE);
    TIDE_REQUIRE(resident_pages(freed, 4 * MIB) == 4 * MIB / PAGE);
}

static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t lines = 0;

    TIDE_REQUIRE(maps);
    for (int letter; (letter = fgetc(maps)) != EOF;)
        lines += letter == '\n';
    fclose(maps);
    return lines;
}

LARGE_SCENARIO(many_blocks_have_few_mappings)
{
    enum { COUNT = 2000, MOST_MORE = 60 }; /* it grows by an eighth at a time */
    static char *blocks[COUNT];
    size_t before = count_mappings();

    for (int n = 0; n < COUNT; n++)
        blocks[n] = take(2200000, PAGE);
    TIDE_REQUIRE(count_mappings() < before + MOST_MORE);
    for (int n = 0; n < COUNT; n += 2) {
        blocks[n][0] = 1;
        put(blocks[n]);
    }
    tide_store_purge(0, SIZE_MAX);
    TIDE_REQUIRE(count_mappings() < before + MOST_MORE);
}

/* ---- Zero ----------------------------------------------------------------- */

LARGE_SCENARIO(a_block_without_pages_is_zero)
{
    size_t fresh;
    char *block;

    put(take(64 * MIB, PAGE));
    tide_store_purge(0, SIZE_MAX);
    block = tide_large_malloc(4 * MIB, PAGE, false, &fresh);
    TIDE_REQUIRE(fresh == 4 * MIB && is_zero(block, 4 * MIB));
    memset(block, 1, 4 * MIB);
    put(block);
    TIDE_REQUIRE(tide_large_malloc(4 * MIB, PAGE, false, &fresh) == block);
    TIDE_REQUIRE(fresh == 0 && block[0] == 1);
    put(block);
    block = tide_large_malloc(4 * MIB, PAGE, true, &fresh);
    TIDE_REQUIRE(fresh == 4 * MIB && is_zero(block, 4 * MIB));
}

LARGE_SCENARIO(calloc_touches_nothing)
{
    char *dirty, *block;

    put(take(64 * MIB, PAGE));
    tide_store_purge(0, SIZE_MAX);
    dirty = free_stretch(4 * MIB);
    block = tide_calloc(4, MIB);
    TIDE_REQUIRE(block != dirty && resident_pages(block, 4 * MIB) == 0);
    TIDE_REQUIRE(is_zero(block, 4 * MIB));
}

/* Takes all that is purged. */
static void take_purged(void)
{
    size_t fresh;

    while (tide_store_totals().purged_bytes > 0)
        TIDE_REQUIRE(tide_large_malloc(PAGE, PAGE, true, &fresh) && fresh == PAGE);
}

static void check_calloc_of_dirty(size_t bytes, size_t resident)
{
    char *freed, *block;

    become_large();
    freed = free_stretch(bytes);
    take_purged();
    tide_os_fail_map_every(1);
    block = tide_calloc(1, bytes);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(block == freed && resident_pages(block, bytes) == resident);
    TIDE_REQUIRE(is_zero(block, bytes));
}

LARGE_SCENARIO(calloc_of_a_dirty_block_gives_its_pages_back)
{
    check_calloc_of_dirty(2 * MIB, 0);
}

LARGE_SCENARIO(but_it_writes_to_a_short_one)
{
    check_calloc_of_dirty(MIB / 2, MIB / 2 / PAGE);
}
