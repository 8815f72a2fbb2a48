/* test_inspect.c - check/inspect.h: what is found, and what each mistake is told */
#include "check/inspect.h"

#include "../heap/heaps.h"
#include "large/large.h"
#include "os/map.h"
#include "store/store.h"
#include "large/cache.h"

static const void *address; /* that find is asked about */

static void find(void)
{
    tide_check_find(address, "probe");
}

static struct outcome find_apart(const void *of)
{
    address = of;
    return run_apart(find);
}

/* ---- Live blocks -------------------------------------------------------- */

static void check_pooled(size_t size)
{
    char *block = allocate(size);
    struct found found = tide_check_find(block, "probe");

    cr_assert_eq(found.kind, FOUND_POOLED);
    cr_assert_eq(found.pool, tide_pool_of(block));
    cr_assert_eq(found.bytes, found.pool->block_bytes);
    cr_assert_geq(found.bytes, size);
    tide_free(block);
}

Test(inspect, pooled_blocks_of_every_class_are_found)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        check_pooled(tide_class_bytes[c]);
    check_pooled(0);
    check_pooled(1);
}

static void check_large(size_t size, size_t alignment)
{
    char *block = tide_aligned_alloc(alignment, size);
    struct found found = tide_check_find(block, "probe");

    cr_assert_eq(found.kind, FOUND_LARGE);
    cr_assert_eq(found.range, tide_store_block(block));
    cr_assert_eq(found.range->start, block);
    cr_assert_eq(found.bytes, tide_large_good_size(size));
    tide_free(block);
}

Test(inspect, large_blocks_are_found_wherever_they_start)
{
    for (size_t size = TIDE_POOLED_MAX + 1; size <= 4 * TIDE_ARENA_BYTES; size *= 3)
        for (size_t alignment = TIDE_ALIGNMENT; alignment <= 4 * TIDE_ARENA_BYTES; alignment *= 8)
            check_large(size, alignment);
}

/* ---- Pointers into blocks ----------------------------------------------- */

static void assert_inside(const char *block, size_t offset, size_t bytes)
{
    assert_aborted(find_apart(block + offset),
                   "probe(%p): inside a block of %zu bytes, %zu bytes after its start",
                   (const void *)(block + offset), bytes, offset);
}

Test(inspect, a_pointer_into_a_pooled_block_is_told_from_its_start)
{
    char *block = allocate(100);
    size_t bytes = tide_usable_size(block);

    assert_inside(block, 1, bytes);
    assert_inside(block, 16, bytes);
    assert_inside(block, bytes - 1, bytes);
}

Test(inspect, a_pointer_into_a_large_block_is_told_from_its_start)
{
    for (size_t size = 2 * TIDE_SLOT_BYTES; size <= 3 * TIDE_ARENA_BYTES; size *= 5) {
        char *block = allocate(size);
        size_t bytes = tide_usable_size(block);

        assert_inside(block, 1, bytes);
        assert_inside(block, tide_os_page_bytes, bytes);
        assert_inside(block, bytes / 2 + 8, bytes);
        assert_inside(block, bytes - 1, bytes);
    }
}

/* ---- What is free ------------------------------------------------------- */

Test(inspect, an_untouched_block_is_not_allocated)
{
    struct pool *pool = tide_pool_of(allocate(TIDE_POOLED_MAX));
    char *last = tide_pool_start(pool) + (size_t)(pool->capacity - 1) * pool->block_bytes;

    cr_assert_lt(tide_relaxed(&pool->carved), pool->capacity);
    assert_aborted(find_apart(last), "probe(%p): not allocated: in a pool of blocks of %zu bytes",
                   (void *)last, TIDE_POOLED_MAX);
}

/* Three that lie in a row. */
static void allocate_row(char *row[3])
{
    size_t bytes = tide_good_size(TIDE_ARENA_BYTES / 2);

    leave_maintenance_out();
    row[0] = allocate(bytes);
    row[1] = allocate(bytes);
    for (;; row[0] = row[1], row[1] = row[2]) {
        row[2] = allocate(bytes);
        if (row[1] == row[0] + bytes && row[2] == row[1] + bytes)
            return;
    }
}

Test(inspect, a_freed_large_block_is_free)
{
    char *row[3];

    allocate_row(row);
    tide_free(row[1]);
    assert_aborted(find_apart(row[1]), "probe(%p): already free: a large block", (void *)row[1]);
    assert_aborted(find_apart(row[1] + 16), "probe(%p): already free, or never allocated",
                   (void *)(row[1] + 16));
}

Test(inspect, so_is_one_that_is_part_of_a_larger_range)
{
    char *row[3];

    allocate_row(row);
    tide_free(row[0]);
    tide_free(row[1]);
    tide_large_cache_flush();
    assert_aborted(find_apart(row[1]), "probe(%p): already free, or never allocated",
                   (void *)row[1]);
}

Test(inspect, one_whose_pages_are_gone_is_free)
{
    char *row[3];

    allocate_row(row);
    tide_free(row[1]);
    tide_malloc_trim(0);
    assert_aborted(find_apart(row[1]), "probe(%p): already free: a large block", (void *)row[1]);
}

static void report_free(void)
{
    tide_check_report_free(&address, 33, "probe");
}

Test(inspect, freeing_twice_is_reported_with_the_size)
{
    assert_aborted(run_apart(report_free), "probe(%p): already free: a block of 33 bytes",
                   (void *)&address);
}

/* ---- What never was a block --------------------------------------------- */

static void assert_foreign(const void *of)
{
    assert_aborted(find_apart(of),
                   "probe(%p): not a tidepool block: no memory of tidepool's is there", of);
}

Test(inspect, foreign_addresses_are_told)
{
    int local = 0;

    assert_foreign(&local);
    assert_foreign(&address);
    assert_foreign((void *)1);
    assert_foreign((void *)UINTPTR_MAX);
    assert_foreign((void *)((uintptr_t)1 << TIDE_ADDRESS_BITS));
}

Test(inspect, the_allocators_records_are_no_blocks)
{
    char *arena = (char *)tide_arena_of(allocate(1));

    for (size_t slot = 0; slot < TIDE_HEADER_SLOTS; slot++)
        assert_aborted(find_apart(arena + slot * TIDE_SLOT_BYTES),
                       "probe(%p): not a block: tidepool's own records are there",
                       (void *)(arena + slot * TIDE_SLOT_BYTES));
}

/* ---- With checks on ----------------------------------------------------- */

PROGRAM(checked)
{
    char *block = allocate(100);

    TIDE_REQUIRE(tide_check_find(block, "probe").bytes == tide_usable_size(block));
    allocate(100);
    tide_free(block);
    allocate(3000);
    address = block;
    find();
}

Test(inspect, with_checks_on_a_freed_block_is_told)
{
    struct outcome outcome = run_program("checked", "TIDEPOOL_CHECK=on", NULL);

    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    cr_assert(strstr(outcome.text, "tidepool: probe(0x"), "%s", outcome.text);
    cr_assert(strstr(outcome.text, "): already free: a block of 112 bytes\n"), "%s", outcome.text);
}
