/* test_inspect.c - heap/inspect.h: what is found, and what each mistake is told */
#include "heap/inspect.h"

#include "heaps.h"
#include "heap/huge.h"
#include "os/map.h"

static const void *address; /* that find is asked about */

static void find(void)
{
    tide_heap_find(address, "probe");
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
    struct found found = tide_heap_find(block, "probe");

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

Test(inspect, runs_are_found)
{
    static const size_t sizes[] = { TIDE_POOLED_MAX + 1, TIDE_SLOT_BYTES + 1, TIDE_RUN_MAX };

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        char *block = allocate(sizes[n]);
        struct found found = tide_heap_find(block, "probe");

        cr_assert_eq(found.kind, FOUND_RUN);
        cr_assert_eq(found.pool, tide_pool_of(block));
        cr_assert_eq(found.bytes, tide_round_up(sizes[n], TIDE_SLOT_BYTES));
        tide_free(block);
    }
}

Test(inspect, huge_blocks_are_found_wherever_they_start)
{
    for (size_t alignment = TIDE_ALIGNMENT; alignment <= 4 * TIDE_ARENA_BYTES; alignment *= 8) {
        char *block = tide_aligned_alloc(alignment, TIDE_RUN_MAX + 1);
        struct found found = tide_heap_find(block, "probe");

        cr_assert_eq(found.kind, FOUND_HUGE);
        cr_assert_eq(found.bytes, tide_huge_usable(tide_huge_at(block)));
        tide_free(block);
    }
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

Test(inspect, a_pointer_into_a_run_is_told_from_its_start)
{
    char *block = allocate(TIDE_RUN_MAX);

    assert_inside(block, 1, TIDE_RUN_MAX);
    assert_inside(block, TIDE_SLOT_BYTES, TIDE_RUN_MAX);
    assert_inside(block, TIDE_RUN_MAX - 1, TIDE_RUN_MAX);
}

Test(inspect, a_pointer_into_a_huge_block_is_told_from_its_start)
{
    char *block = allocate(3 * TIDE_ARENA_BYTES);
    size_t bytes = tide_usable_size(block);

    assert_inside(block, 1, bytes);
    assert_inside(block, TIDE_ARENA_BYTES, bytes);
    assert_inside(block, 2 * TIDE_ARENA_BYTES + 8, bytes);
    assert_inside(block, bytes - 1, bytes);
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

Test(inspect, a_freed_run_is_free)
{
    char *block = allocate(TIDE_RUN_MAX), *kept = allocate(TIDE_RUN_MAX);

    if (tide_arena_of(block) != tide_arena_of(kept))
        allocate(TIDE_SLOT_BYTES); /* so that the arena stays */
    tide_free(block);
    if (tide_memory_at(block) == TIDE_ARENA)
        assert_aborted(find_apart(block), "probe(%p): already free, or never allocated",
                       (void *)block);
    else
        assert_aborted(find_apart(block),
                       "probe(%p): not a tidepool block: no memory of tidepool's is there",
                       (void *)block);
}

Test(inspect, a_cached_huge_block_is_free)
{
    char *block = allocate(2 * TIDE_ARENA_BYTES);
    size_t bytes = tide_usable_size(block);

    leave_maintenance_out();
    tide_free(block);
    assert_aborted(find_apart(block), "probe(%p): already free: a block of %zu bytes",
                   (void *)block, bytes);
}

static void report_free(void)
{
    tide_heap_report_free(&address, 33, "probe");
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

Test(inspect, what_is_near_a_huge_block_is_told)
{
    char *block = allocate(TIDE_RUN_MAX + 1), *beyond = block + tide_usable_size(block);

    assert_aborted(find_apart(beyond), "probe(%p): not a tidepool block: a huge block is near",
                   (void *)beyond);
}

Test(inspect, the_record_of_a_huge_block_is_no_block)
{
    char *block = allocate(TIDE_RUN_MAX + 1);
    struct huge *huge = tide_huge_at(block);

    assert_aborted(find_apart(huge), "probe(%p): not a block: tidepool's own records are there",
                   (void *)huge);
    assert_aborted(find_apart(block - 1),
                   "probe(%p): not a block: tidepool's own records are there", (void *)(block - 1));
}

/* ---- With checks on ----------------------------------------------------- */

PROGRAM(checked)
{
    char *block = allocate(100);

    TIDE_REQUIRE(tide_heap_find(block, "probe").bytes == tide_usable_size(block));
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
