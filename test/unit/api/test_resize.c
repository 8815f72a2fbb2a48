/* test_resize.c - realloc and reallocarray */
#include <tidepool/malloc.h>

#include <errno.h>

#include "../heap/heaps.h"
#include "heap/inspect.h"
#include "os/map.h"

static const size_t sizes[] = {
    1, 8, 9, 24, 100, TIDE_SMALL_MAX, TIDE_LOOKUP_MAX + 1, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1,
    3 * TIDE_SLOT_BYTES, TIDE_RUN_MAX, TIDE_RUN_MAX + 1, 2 * TIDE_ARENA_BYTES + 5,
};

enum { SIZES = sizeof sizes / sizeof *sizes };

TestSuite(resize, .init = leave_maintenance_out);

static void fill(unsigned char *block, size_t bytes)
{
    for (size_t n = 0; n < bytes; n++)
        block[n] = (unsigned char)(n * 7 + n / 251);
}

static bool is_filled(const unsigned char *block, size_t bytes)
{
    for (size_t n = 0; n < bytes; n++)
        if (block[n] != (unsigned char)(n * 7 + n / 251))
            return false;
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

Test(resize, the_contents_stay_from_any_size_to_any_other)
{
    for (int from = 0; from < SIZES; from++)
        for (int to = 0; to < SIZES; to++) {
            unsigned char *block = allocate(sizes[from]), *resized;

            fill(block, sizes[from]);
            errno = ERANGE;
            resized = tide_realloc(block, sizes[to]);
            cr_assert(resized);
            cr_assert_eq(errno, ERANGE);
            cr_assert_geq(tide_usable_size(resized), sizes[to]);
            cr_assert(is_aligned(resized, sizes[to] > 8 ? 16 : 8));
            cr_assert(is_filled(resized, least(sizes[from], sizes[to])), "%zu to %zu bytes",
                      sizes[from], sizes[to]);
            memset(resized, 1, sizes[to]);
            tide_free(resized);
        }
    tide_api_check();
}

Test(resize, null_is_malloc)
{
    for (int n = 0; n < SIZES; n++) {
        void *block = tide_realloc(NULL, sizes[n]);

        cr_assert(block);
        cr_assert_geq(tide_usable_size(block), sizes[n]);
        tide_free(block);
    }
    tide_free(tide_realloc(NULL, 0));
    cr_assert(tide_realloc(NULL, 0));
}

static size_t allocated_bytes(void)
{
    struct tide_mallinfo2 info = tide_mallinfo2();

    return info.uordblks + info.hblkhd;
}

Test(resize, size_zero_frees)
{
    for (int n = 0; n < SIZES; n++) {
        size_t before = allocated_bytes();
        void *block = allocate(sizes[n]);

        cr_assert_gt(allocated_bytes(), before);
        errno = ERANGE;
        cr_assert_null(tide_realloc(block, opaque(0)));
        cr_assert_eq(errno, ERANGE);
        cr_assert_eq(allocated_bytes(), before, "%zu bytes", sizes[n]);
    }
}

Test(resize, a_block_stays_while_the_size_fits_and_fills_half)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        size_t bytes = tide_class_bytes[c];
        void *block = allocate(bytes);

        cr_assert_eq(tide_realloc(block, bytes), block);
        cr_assert_eq(tide_realloc(block, bytes / 2), block);
        tide_free(block);
    }
}

Test(resize, a_much_smaller_size_moves_to_a_smaller_block)
{
    void *block = tide_realloc(allocate(1000), 100);

    cr_assert_eq(tide_usable_size(block), tide_good_size(100));
    tide_free(block);
    block = tide_realloc(allocate(TIDE_RUN_MAX), 100);
    cr_assert_eq(tide_usable_size(block), tide_good_size(100));
    tide_free(block);
    block = tide_realloc(allocate(TIDE_RUN_MAX + 1), TIDE_RUN_MAX);
    cr_assert_eq(tide_heap_find(block, "probe").kind, FOUND_RUN);
    tide_free(block);
}

Test(resize, a_run_shrinks_where_it_is)
{
    void *block = allocate(TIDE_RUN_MAX);

    cr_assert_eq(tide_realloc(block, TIDE_POOLED_MAX + 1), block);
    cr_assert_eq(tide_usable_size(block), tide_good_size(TIDE_POOLED_MAX + 1));
    tide_free(block);
    tide_api_check();
}

Test(resize, a_huge_block_shrinks_where_it_is)
{
    void *block = allocate(4 * TIDE_ARENA_BYTES);

    cr_assert_eq(tide_realloc(block, TIDE_RUN_MAX + 1), block);
    cr_assert_lt(tide_usable_size(block), TIDE_ARENA_BYTES);
    tide_free(block);
    tide_api_check();
}

/* ---- Failing ------------------------------------------------------------ */

static void assert_fails(unsigned char *block, size_t kept, size_t to)
{
    size_t usable = tide_usable_size(block);

    errno = 0;
    cr_assert_null(tide_realloc(block, opaque(to)));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_eq(tide_usable_size(block), usable);
    cr_assert(is_filled(block, kept));
}

Test(resize, a_failure_leaves_the_block_as_it_was)
{
    for (int n = 0; n < SIZES; n++) {
        unsigned char *block = allocate(sizes[n]);

        fill(block, sizes[n]);
        assert_fails(block, sizes[n], SIZE_MAX);
        assert_fails(block, sizes[n], (size_t)PTRDIFF_MAX + 1);
        assert_fails(block, sizes[n], PTRDIFF_MAX);
        assert_fails(block, sizes[n], (size_t)1 << 62);
        tide_free(block);
    }
    tide_api_check();
}

Test(resize, a_size_that_no_machine_has_costs_nothing_that_was_kept)
{
    static const size_t too_much[] = { (size_t)1 << 62, PTRDIFF_MAX, SIZE_MAX };
    unsigned char *block = allocate(TIDE_RUN_MAX + 1);
    size_t cached;

    tide_free(allocate(2 * TIDE_ARENA_BYTES));
    cached = tide_huge_totals().cached_bytes;
    fill(block, TIDE_RUN_MAX);
    for (size_t n = 0; n < sizeof too_much / sizeof *too_much; n++) {
        errno = ENOMEM; /* of an earlier call */
        cr_assert_null(tide_realloc(block, opaque(too_much[n])));
        assert_fails(block, TIDE_RUN_MAX, too_much[n]);
        cr_assert_eq(tide_huge_totals().cached_bytes, cached, "%zu bytes", too_much[n]);
    }
    tide_free(block);
}

Test(resize, without_memory_a_block_does_not_grow)
{
    for (int n = 0; n < SIZES; n++) {
        unsigned char *block = allocate(sizes[n]);

        fill(block, sizes[n]);
        tide_os_fail_map_every(1);
        assert_fails(block, sizes[n], 64 * TIDE_ARENA_BYTES);
        tide_os_fail_map_every(0);
        tide_free(block);
    }
    tide_api_check();
}

static void shrink_without_memory(void)
{
    unsigned char *huge = allocate(2 * TIDE_ARENA_BYTES);

    fill(huge, 2 * TIDE_ARENA_BYTES);
    tide_os_fail_map_every(1);
    while (tide_malloc(TIDE_SLOT_BYTES))
        ;
    errno = ERANGE;
    TIDE_REQUIRE(tide_realloc(huge, TIDE_SLOT_BYTES) == huge && errno == ERANGE);
    TIDE_REQUIRE(is_filled(huge, TIDE_SLOT_BYTES));
    tide_api_check();
}

Test(resize, without_memory_a_block_that_would_shrink_stays)
{
    assert_ended_well(run_apart(shrink_without_memory));
}

/* ---- reallocarray ------------------------------------------------------- */

Test(resize, reallocarray_multiplies)
{
    unsigned char *block = tide_reallocarray(NULL, 10, 30);

    cr_assert_geq(tide_usable_size(block), 300);
    fill(block, 300);
    block = tide_reallocarray(block, 100, 300);
    cr_assert_geq(tide_usable_size(block), 30000);
    cr_assert(is_filled(block, 300));
    cr_assert_null(tide_reallocarray(block, 100, opaque(0)), "as realloc: freed");
}

Test(resize, a_product_that_overflows_is_enomem)
{
    unsigned char *block = allocate(100);

    fill(block, 100);
    errno = 0;
    cr_assert_null(tide_reallocarray(block, opaque(SIZE_MAX), opaque(2)));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(tide_reallocarray(block, opaque((size_t)1 << 32), opaque((size_t)1 << 32)));
    cr_assert_eq(errno, ENOMEM);
    cr_assert(is_filled(block, 100));
    tide_free(block);
}

/* ---- Misuse and other threads ------------------------------------------- */

static char *block;

static void resize_it(void)
{
    block = tide_realloc(block, 10);
}

Test(resize, misuse_is_reported_as_reallocs)
{
    block = (char *)allocate(100) + 16;
    assert_aborted(run_apart(resize_it),
                   "realloc(%p): inside a block of 112 bytes, 16 bytes after its start",
                   (void *)block);
    block = (char *)&block;
    assert_aborted(run_apart(resize_it),
                   "realloc(%p): not a tidepool block: no memory of tidepool's is there",
                   (void *)block);
}

static void resize_there(void *argument)
{
    unsigned char **foreign = argument;

    for (int n = 0; n < SIZES; n++) {
        *foreign = tide_realloc(*foreign, 100 + sizes[n]);
        TIDE_REQUIRE(*foreign && is_filled(*foreign, 100));
    }
}

Test(resize, any_thread_resizes_a_block)
{
    unsigned char *here = allocate(100);

    fill(here, 100);
    run_thread(resize_there, &here);
    cr_assert(is_filled(here, 100));
    tide_free(here);
    tide_api_check();
}
