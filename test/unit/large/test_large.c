/* test_large.c - large/large.h: blocks that are ranges of the store; test_large_freed.c is
 * about those that were freed, test_large_resize.c about those that change
 */
#include "large/large.h"

#include <errno.h>

#include "large_blocks.h"
#include "os/limits.h"

#define SIZE (TIDE_ARENA_BYTES / 2)

/* What waits to be taken again, of the test's runner too, is in the store. */
static struct tide_store_totals totals(void)
{
    tide_large_cache_flush();
    return tide_store_totals();
}

TestSuite(large, .init = leave_maintenance_out);

/* ---- Sizes ---------------------------------------------------------------- */

Test(large, there_are_eight_sizes_for_a_doubling)
{
    for (size_t doubling = 64 * PAGE; doubling <= (size_t)1 << 40; doubling *= 2) {
        size_t sizes = 0;

        for (size_t size = doubling; size < 2 * doubling; sizes++) {
            size_t good = tide_large_good_size(size + 1);

            cr_assert_eq(good, size + doubling / 8);
            cr_assert_eq(tide_large_good_size(good), good);
            cr_assert_eq(tide_large_good_size(good - 1), good);
            size = good;
        }
        cr_assert_eq(sizes, 8);
    }
}

Test(large, sizes_are_whole_pages)
{
    cr_assert_eq(tide_large_good_size(0), PAGE);
    for (size_t size = 1; size <= 8 * PAGE; size++)
        cr_assert_eq(tide_large_good_size(size), tide_round_up(size, PAGE));
    cr_assert_geq(tide_large_good_size(PTRDIFF_MAX), (size_t)PTRDIFF_MAX);
}

/* ---- Blocks --------------------------------------------------------------- */

static void check_block(size_t size, size_t alignment)
{
    char *block = take(size, alignment);
    const struct tide_range *range = tide_store_block(block);

    cr_assert(range && range->start == block && range->state == RANGE_BLOCK);
    cr_assert(is_aligned(block, alignment) && is_aligned(block, PAGE));
    cr_assert_eq(range->bytes, tide_large_good_size(size));
    memset(block, 0xa5, range->bytes);
    for (size_t at = 1; at < range->bytes; at += range->bytes / 16 + 1)
        cr_assert_null(tide_store_block(block + at), "no block starts in it");
    put(block);
}

Test(large, a_block_has_its_size_and_its_alignment)
{
    static const size_t sizes[] = { 0, 1, TIDE_POOLED_MAX + 1, SIZE, TIDE_ARENA_BYTES - 4096,
                                    TIDE_ARENA_BYTES, TIDE_ARENA_BYTES + 1,
                                    3 * TIDE_ARENA_BYTES - 8191 };

    for (size_t alignment = TIDE_ALIGNMENT; alignment <= 8 * TIDE_ARENA_BYTES; alignment *= 4)
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
            check_block(sizes[n], alignment);
    tide_check_all();
}

Test(large, blocks_do_not_overlap)
{
    char *blocks[5];

    for (int n = 0; n < 5; n++)
        memset(blocks[n] = take(SIZE, n % 2 ? TIDE_ARENA_BYTES : PAGE), n, SIZE);
    for (int n = 0; n < 5; n++) {
        for (size_t at = 0; at < SIZE; at += 61)
            cr_assert_eq(blocks[n][at], n);
        put(blocks[n]);
    }
}

LARGE_SCENARIO(totals_count_blocks_and_what_is_free)
{
    struct tide_store_totals before, now;
    char *row[3];

    take_row(row, 3, SIZE);
    before = totals();
    TIDE_REQUIRE(before.blocks >= 3 && before.block_bytes >= 3 * SIZE && before.dirty_bytes == 0);
    put(row[1]);
    now = totals();
    TIDE_REQUIRE(now.blocks == before.blocks - 1);
    TIDE_REQUIRE(now.block_bytes == before.block_bytes - SIZE);
    TIDE_REQUIRE(now.dirty_ranges == 1 && now.dirty_bytes == SIZE);
    TIDE_REQUIRE(tide_store_purge(0, SIZE_MAX) == SIZE);
    TIDE_REQUIRE(totals().dirty_bytes == 0);
    TIDE_REQUIRE(totals().purged_bytes == now.purged_bytes + SIZE);
}

/* ---- No memory ------------------------------------------------------------ */

static void assert_refused(size_t size, size_t alignment)
{
    struct tide_store_totals before = totals(), after;
    size_t fresh;

    errno = 0;
    cr_assert_null(tide_large_malloc(opaque(size), alignment, false, &fresh));
    cr_assert_eq(errno, ENOMEM);
    after = totals();
    cr_assert(memcmp(&before, &after, sizeof before) == 0);
}

Test(large, too_much_is_enomem)
{
    static const size_t sizes[] = { (size_t)1 << 62, PTRDIFF_MAX - 4096, PTRDIFF_MAX, SIZE_MAX };

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        assert_refused(sizes[n], TIDE_ALIGNMENT);
    assert_refused(SIZE, (size_t)1 << 63);
    assert_refused(SIZE, (size_t)1 << 47);
}

LARGE_SCENARIO(without_address_space_there_is_no_block)
{
    size_t fresh, count = 0;

    tide_os_fail_map_every(1);
    errno = 0;
    while (tide_large_malloc(SIZE, PAGE, false, &fresh))
        count++;
    TIDE_REQUIRE(errno == ENOMEM && count < 64);
    errno = 0;
    TIDE_REQUIRE(!tide_malloc(TIDE_ARENA_BYTES) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    put(take(SIZE, PAGE));
}

Test(large, what_is_dirty_is_within_the_limit)
{
    char *block = take(8 * MIB, PAGE);
    size_t fresh;

    tide_os_limits_set(TIDE_NO_LIMIT, tide_os_limits_mapped());
    errno = 0;
    cr_assert_null(tide_large_malloc(8 * MIB, PAGE, true, &fresh));
    cr_assert_eq(errno, ENOMEM);
    put(block);
    block = tide_large_malloc(8 * MIB, PAGE, false, &fresh);
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
    cr_assert(block);
    cr_assert_eq(fresh, 0);
}

/* ---- Threads -------------------------------------------------------------- */

static void free_it(void *block)
{
    tide_free(block);
}

Test(large, any_thread_frees_a_block)
{
    size_t before = totals().blocks;
    char *block = take(SIZE, PAGE);

    run_thread(free_it, block);
    cr_assert_eq(totals().blocks, before);
    tide_check_all();
}

static void take_and_free(void *mark)
{
    for (int round = 0; round < 300; round++) {
        char *block = take(SIZE + (size_t)(round % 7) * PAGE, PAGE);

        *(void **)block = mark;
        *(void **)(block + SIZE - 16) = mark;
        if (round % 5 == 0)
            block = tide_realloc(block, 2 * SIZE);
        TIDE_REQUIRE(*(void **)block == mark && *(void **)(block + SIZE - 16) == mark);
        put(block);
    }
}

Test(large, threads_get_different_blocks)
{
    size_t before = totals().blocks;
    struct peer peers[3];

    for (int n = 0; n < 3; n++) {
        peer_start(&peers[n]);
        peer_ask(&peers[n], take_and_free, &peers[n]);
    }
    for (int n = 0; n < 3; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    cr_assert_eq(totals().blocks, before);
    tide_check_all();
}
