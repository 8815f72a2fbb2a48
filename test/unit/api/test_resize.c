/* test_resize.c - realloc and reallocarray */
#include <tidepool/malloc.h>

#include <errno.h>

#include "../heap/heaps.h"
#include "os/map.h"

static const size_t sizes[] = {
    1, 8, 9, 24, 100, TIDE_SMALL_MAX, TIDE_LOOKUP_MAX + 1, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1,
    3 * TIDE_SLOT_BYTES, TIDE_ARENA_BYTES / 2, TIDE_ARENA_BYTES + 1, 2 * TIDE_ARENA_BYTES + 5,
};

enum { SIZES = sizeof sizes / sizeof *sizes };

TestSuite(resize, .init = leave_maintenance_out);

static unsigned char pattern_at(size_t n)
{
    return (unsigned char)(n * 7 + n / 251);
}

static void fill(unsigned char *block, size_t bytes)
{
    for (size_t n = 0; n < bytes; n++)
        block[n] = pattern_at(n);
}

static bool is_filled(const unsigned char *block, size_t bytes)
{
    for (size_t n = 0; n < bytes; n++)
        if (block[n] != pattern_at(n))
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
    tide_check_all();
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
    block = tide_realloc(allocate(3 * TIDE_ARENA_BYTES), 100);
    cr_assert_eq(tide_usable_size(block), tide_good_size(100));
    tide_free(block);
}

/* ---- Large blocks -------------------------------------------------------- */

#define MIB ((size_t)1 << 20)

static size_t count_faults(void)
{
    struct rusage usage;

    TIDE_REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return (size_t)usage.ru_minflt;
}

/* Lets something lie behind the block: another one, or what isn't tidepool's. */
static void be_in_the_way(unsigned char *block)
{
    enum { TRIES = 1000 };
    unsigned char *end = block + tide_usable_size(block), *behind = NULL;

    for (int n = 0; n < TRIES && behind != end; n++)
        behind = allocate(TIDE_POOLED_MAX + 1);
    if (behind != end)
        mmap(end, tide_os_page_bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

IN_NEW_THREAD(resize, a_large_block_shrinks_where_it_is, NULL)
{
    static const size_t from_to[][2] = {
        { 4 * TIDE_POOLED_MAX, 2 * TIDE_POOLED_MAX }, /* to half of it */
        { MIB, MIB / 2 },
        { 64 * MIB, MIB + 1 }, /* to far less, but much */
    };

    leave_maintenance_out();
    for (size_t n = 0; n < sizeof from_to / sizeof *from_to; n++) {
        unsigned char *block = allocate(from_to[n][0]);
        size_t dirty = tide_store_totals().dirty_bytes, bytes = tide_good_size(from_to[n][1]);

        fill(block, from_to[n][1]);
        TIDE_REQUIRE(tide_realloc(block, from_to[n][1]) == block);
        TIDE_REQUIRE(tide_usable_size(block) == bytes && is_filled(block, from_to[n][1]));
        TIDE_REQUIRE(tide_store_totals().dirty_bytes == dirty + from_to[n][0] - bytes);
        tide_free(block);
    }
}

/* So that all of its memory suits another one of its size. */
IN_NEW_THREAD(resize, a_large_block_that_is_to_be_much_smaller_is_copied, NULL)
{
    unsigned char *block = allocate(MIB), *smaller;

    fill(block, MIB);
    smaller = tide_realloc(block, MIB / 2 - 1);
    TIDE_REQUIRE(smaller != block && is_filled(smaller, MIB / 2 - 1));
    TIDE_REQUIRE(tide_usable_size(smaller) == tide_good_size(MIB / 2 - 1));
    TIDE_REQUIRE(allocate(MIB) == block);
}

IN_NEW_THREAD(resize, a_large_block_grows_where_it_is_when_its_neighbour_is_free, NULL)
{
    unsigned char *block = allocate(100 * TIDE_POOLED_MAX);

    fill(block, 60 * TIDE_POOLED_MAX);
    TIDE_REQUIRE(tide_realloc(block, 60 * TIDE_POOLED_MAX) == block);
    TIDE_REQUIRE(tide_realloc(block, 80 * TIDE_POOLED_MAX) == block); /* into its old end */
    TIDE_REQUIRE(is_filled(block, 60 * TIDE_POOLED_MAX));
    be_in_the_way(block);
    TIDE_REQUIRE(tide_realloc(block, 100 * TIDE_POOLED_MAX) != block);
}

/* Each time another block is behind it. */
IN_NEW_THREAD(resize, from_1_mib_on_pages_move_and_are_not_copied, NULL)
{
    size_t bytes = 8 * MIB, pages = bytes / tide_os_page_bytes, faults;
    unsigned char *block = allocate(bytes), *moved;

    fill(block, bytes);
    faults = count_faults();
    for (int n = 0; n < 4; n++) {
        be_in_the_way(block);
        moved = tide_realloc(block, bytes << (n + 1));
        TIDE_REQUIRE(moved && moved != block);
        TIDE_REQUIRE(moved[0] == 0 && moved[bytes - 1] == pattern_at(bytes - 1));
        block = moved;
    }
    TIDE_REQUIRE(count_faults() - faults < pages / 4);
    TIDE_REQUIRE(is_filled(block, bytes) && is_zero(block + bytes, 7 * bytes));
}

/* The kernel refuses to move pages where more is mapped than may be. */
static void move_without_address_space(void)
{
    struct rlimit limit = { 4096, RLIM_INFINITY };
    unsigned char *block = allocate(8 * MIB), *whole, *moved;

    tide_free(allocate(64 * MIB));
    tide_malloc_trim(0);
    be_in_the_way(block);
    fill(block, 8 * MIB);
    TIDE_REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    moved = tide_realloc(block, 16 * MIB);
    if (moved)
        block = memset(moved, 1, 16 * MIB);
    TIDE_REQUIRE(moved || is_filled(block, 8 * MIB));
    while ((whole = tide_malloc(4 * MIB))) /* all that there is can be used */
        memset(whole, 1, 4 * MIB);
    tide_check_all();
}

IN_NEW_THREAD(resize, when_pages_can_not_be_moved_their_new_place_can_be_used, NULL)
{
#if !defined(__SANITIZE_ADDRESS__) /* which needs address space itself */
    leave_maintenance_out();
    move_without_address_space();
#endif
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
    tide_check_all();
}

Test(resize, a_size_that_no_machine_has_costs_nothing_that_was_kept)
{
    static const size_t too_much[] = { (size_t)1 << 62, PTRDIFF_MAX, SIZE_MAX };
    unsigned char *block = allocate(TIDE_ARENA_BYTES);
    size_t dirty;

    tide_free(allocate(2 * TIDE_ARENA_BYTES));
    dirty = tide_store_totals().dirty_bytes;
    cr_assert_geq(dirty, 2 * TIDE_ARENA_BYTES);
    fill(block, TIDE_ARENA_BYTES);
    for (size_t n = 0; n < sizeof too_much / sizeof *too_much; n++) {
        errno = ENOMEM; /* of an earlier call */
        cr_assert_null(tide_realloc(block, opaque(too_much[n])));
        assert_fails(block, TIDE_ARENA_BYTES, too_much[n]);
        cr_assert_eq(tide_store_totals().dirty_bytes, dirty, "%zu bytes", too_much[n]);
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
    tide_check_all();
}

static void shrink_without_memory(void)
{
    unsigned char *large = allocate(2 * TIDE_ARENA_BYTES);

    fill(large, 2 * TIDE_ARENA_BYTES);
    tide_os_fail_map_every(1);
    while (tide_malloc(TIDE_SLOT_BYTES))
        ;
    errno = ERANGE;
    TIDE_REQUIRE(tide_realloc(large, TIDE_SLOT_BYTES) == large && errno == ERANGE);
    TIDE_REQUIRE(is_filled(large, TIDE_SLOT_BYTES));
    tide_check_all();
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
    tide_check_all();
}
