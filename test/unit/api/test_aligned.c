/* test_aligned.c - aligned_alloc, posix_memalign and older names */
#include <tidepool/malloc.h>

#include <errno.h>

#include "../heap/heaps.h"
#include "os/map.h"

static const size_t sizes[] = {
    0, 1, 100, 4096, TIDE_POOLED_MAX + 1, TIDE_ARENA_BYTES / 2,
    TIDE_ARENA_BYTES + 1,
};

enum { SIZES = sizeof sizes / sizeof *sizes };

static size_t page;

static void get_page(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
}

TestSuite(aligned, .init = get_page);

static void check_block(void *block, size_t alignment, size_t size)
{
    cr_assert(block, "%zu bytes aligned to %zu", size, alignment);
    cr_assert(is_aligned(block, alignment), "%zu bytes aligned to %zu", size, alignment);
    cr_assert_geq(tide_usable_size(block), size);
    memset(block, 0xa5, size);
    tide_free(block);
}

Test(aligned, aligned_alloc_takes_every_power_of_two)
{
    for (size_t alignment = 1; alignment <= 4 * TIDE_ARENA_BYTES; alignment *= 2)
        for (int n = 0; n < SIZES; n++)
            check_block(tide_aligned_alloc(alignment, sizes[n]), alignment, sizes[n]);
    tide_check_all();
}

Test(aligned, aligned_alloc_refuses_other_alignments)
{
    static const size_t bad[] = { 0, 3, 24, 100, 4097, SIZE_MAX };

    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        errno = 0;
        cr_assert_null(tide_aligned_alloc(opaque(bad[n]), 100));
        cr_assert_eq(errno, EINVAL, "%zu", bad[n]);
    }
}

Test(aligned, too_much_is_enomem)
{
    static const size_t alignments[] = { 1, 64, 4096, TIDE_ARENA_BYTES, (size_t)1 << 63 };

    for (size_t n = 0; n < sizeof alignments / sizeof *alignments; n++)
        for (size_t size = PTRDIFF_MAX; size != 0; size = size < SIZE_MAX ? SIZE_MAX : 0) {
            errno = 0;
            cr_assert_null(tide_aligned_alloc(opaque(alignments[n]), opaque(size)));
            cr_assert_eq(errno, ENOMEM);
        }
    errno = 0;
    cr_assert_null(tide_aligned_alloc(opaque((size_t)1 << 63), 1));
    cr_assert_eq(errno, ENOMEM);
}

Test(aligned, success_keeps_errno)
{
    errno = ERANGE;
    for (int n = 0; n < SIZES; n++) {
        tide_free(tide_aligned_alloc(128, sizes[n]));
        tide_free(tide_memalign(100, sizes[n]));
        tide_free(tide_valloc(sizes[n]));
    }
    cr_assert_eq(errno, ERANGE);
}

Test(aligned, posix_memalign_takes_powers_of_two_from_a_pointers_size)
{
    for (size_t alignment = sizeof(void *); alignment <= TIDE_ARENA_BYTES; alignment *= 2)
        for (int n = 0; n < SIZES; n++) {
            void *block = NULL;

            errno = ERANGE;
            cr_assert_eq(tide_posix_memalign(&block, alignment, sizes[n]), 0);
            cr_assert_eq(errno, ERANGE);
            check_block(block, alignment, sizes[n]);
        }
}

static void assert_posix_error(size_t alignment, size_t size, int error)
{
    void *const untouched = &errno;
    void *block = untouched;

    errno = ERANGE;
    cr_assert_eq(tide_posix_memalign(&block, opaque(alignment), opaque(size)), error,
                 "%zu bytes aligned to %zu", size, alignment);
    cr_assert_eq(errno, error == ENOMEM ? ENOMEM : ERANGE);
    cr_assert_eq(block, untouched);
}

Test(aligned, posix_memalign_returns_its_errors_and_leaves_the_pointer)
{
    assert_posix_error(0, 100, EINVAL);
    assert_posix_error(1, 100, EINVAL);
    assert_posix_error(4, 100, EINVAL);
    assert_posix_error(24, 100, EINVAL);
    assert_posix_error(SIZE_MAX, 100, EINVAL);
    assert_posix_error(8, SIZE_MAX, ENOMEM);
    assert_posix_error(64, PTRDIFF_MAX, ENOMEM);
    assert_posix_error((size_t)1 << 63, 1, ENOMEM);
    tide_os_fail_map_every(1);
    assert_posix_error(64, 8 * TIDE_ARENA_BYTES, ENOMEM);
    tide_os_fail_map_every(0);
}

Test(aligned, memalign_rounds_the_alignment_up)
{
    static const size_t alignments[][2] = {
        { 0, 1 }, { 1, 1 }, { 3, 4 }, { 24, 32 }, { 64, 64 }, { 4097, 8192 }, { 100000, 131072 },
    };

    for (size_t n = 0; n < sizeof alignments / sizeof *alignments; n++)
        for (int m = 0; m < 20; m++)
            check_block(tide_memalign(alignments[n][0], 40), alignments[n][1], 40);
}

Test(aligned, memalign_refuses_what_cannot_be_rounded_up)
{
    errno = 0;
    cr_assert_null(tide_memalign(((size_t)1 << 63) + 1, 1));
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_null(tide_memalign(SIZE_MAX, 1));
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_null(tide_memalign(((size_t)1 << 62) + 1, 1));
    cr_assert_eq(errno, ENOMEM);
}

Test(aligned, valloc_aligns_to_the_page)
{
    for (int n = 0; n < SIZES; n++)
        check_block(tide_valloc(sizes[n]), page, sizes[n]);
    errno = 0;
    cr_assert_null(tide_valloc(opaque(SIZE_MAX)));
    cr_assert_eq(errno, ENOMEM);
}

Test(aligned, pvalloc_gives_whole_pages)
{
    for (int n = 0; n < SIZES; n++)
        check_block(tide_pvalloc(sizes[n]), page, tide_round_up(sizes[n], page));
    for (size_t size = SIZE_MAX - 3; size != 3; size++) {
        errno = 0;
        cr_assert_null(tide_pvalloc(opaque(size < 4 ? PTRDIFF_MAX - size : size)));
        cr_assert_eq(errno, ENOMEM);
    }
}

PROGRAM(valloc_first)
{
    void *block = tide_valloc(1);

    TIDE_REQUIRE(block && is_aligned(block, (size_t)sysconf(_SC_PAGESIZE)));
}

Test(aligned, valloc_can_be_the_first_call)
{
    assert_ended_well(run_program("valloc_first", NULL, NULL));
}

Test(aligned, the_standard_names_are_ours_when_built_so)
{
    void *blocks[3] = { aligned_alloc(64, 64), NULL, valloc(1) };

    cr_assert_eq(posix_memalign(&blocks[1], 64, 64), 0);
    for (int n = 0; n < 3; n++) {
        cr_assert_eq(tide_owns(blocks[n]), TIDE_OVERRIDE);
        free(blocks[n]);
    }
}
