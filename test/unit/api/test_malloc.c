/* test_malloc.c - malloc, calloc, free and the sized frees */
#include <tidepool/malloc.h>

#include <errno.h>

#include "../heap/heaps.h"
#include "os/map.h"

static const size_t sizes[] = {
    0, 1, 8, 9, 16, 17, 100, TIDE_SMALL_MAX, TIDE_SMALL_MAX + 1, TIDE_LOOKUP_MAX,
    TIDE_LOOKUP_MAX + 1, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1, TIDE_SLOT_BYTES + 1,
    TIDE_ARENA_BYTES / 2, TIDE_ARENA_BYTES + 1, 2 * TIDE_ARENA_BYTES,
};

enum { SIZES = sizeof sizes / sizeof *sizes };

/* ---- malloc ------------------------------------------------------------- */

Test(malloc, a_block_is_aligned_and_has_its_size)
{
    for (int n = 0; n < SIZES; n++) {
        char *block = allocate(sizes[n]);

        cr_assert(is_aligned(block, sizes[n] > 8 ? 16 : 8), "%zu bytes", sizes[n]);
        cr_assert_geq(tide_usable_size(block), sizes[n]);
        memset(block, 0xa5, tide_usable_size(block));
        tide_free(block);
    }
    tide_check_all();
}

Test(malloc, size_zero_gives_blocks_of_their_own)
{
    void *first = allocate(0), *second = allocate(0);

    cr_assert_neq(first, second);
    tide_free(first);
    tide_free(second);
}

Test(malloc, blocks_do_not_overlap)
{
    enum { COUNT = 2000 };
    static unsigned char *blocks[COUNT];

    for (int n = 0; n < COUNT; n++)
        memset(blocks[n] = allocate((size_t)n), n % 251, (size_t)n);
    for (int n = 0; n < COUNT; n++) {
        for (int at = 0; at < n; at++)
            cr_assert(blocks[n][at] == n % 251);
        tide_free(blocks[n]);
    }
    tide_check_all();
}

Test(malloc, too_much_is_enomem)
{
    static const size_t too_much[] = { (size_t)1 << 62, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
                                       SIZE_MAX - 4096, SIZE_MAX };

    for (size_t n = 0; n < sizeof too_much / sizeof *too_much; n++) {
        errno = 0;
        cr_assert_null(tide_malloc(opaque(too_much[n])));
        cr_assert_eq(errno, ENOMEM);
    }
}

Test(malloc, success_keeps_errno)
{
    errno = ERANGE;
    for (int n = 0; n < SIZES; n++)
        tide_free(allocate(sizes[n]));
    cr_assert_eq(errno, ERANGE);
}

static void allocate_first(void *unused)
{
    (void)unused;
    errno = ERANGE;
    tide_free(allocate(100));
    TIDE_REQUIRE(errno == ERANGE);
}

Test(malloc, the_first_call_of_a_thread_keeps_errno)
{
    struct peer peer;

    peer_start(&peer); /* so that there is no orphan to adopt */
    peer_do(&peer, allocate_first, NULL);
    run_thread(allocate_first, NULL);
    peer_end(&peer);
}

/* ---- calloc ------------------------------------------------------------- */

/* Leaves used memory of that size behind. */
static void soil(size_t size)
{
    void *blocks[20];

    for (int n = 0; n < 20; n++) {
        blocks[n] = allocate(size);
        memset(blocks[n], 0xa5, tide_usable_size(blocks[n]));
    }
    free_all(blocks, 20);
}

Test(malloc, callocs_block_is_zero_whatever_was_there)
{
    for (int n = 0; n < SIZES; n++) {
        char *block;

        soil(sizes[n]);
        block = tide_calloc(1, sizes[n]);
        cr_assert(block && is_zero(block, tide_usable_size(block)), "%zu bytes", sizes[n]);
        memset(block, 0xa5, sizes[n]);
        tide_free(block);
    }
    tide_check_all();
}

static void check_calloc(size_t size)
{
    char *zero;

    soil(size);
    zero = tide_calloc(1, size);
    TIDE_REQUIRE(zero && is_zero(zero, tide_usable_size(zero)));
    memset(zero, 0xa5, tide_usable_size(zero));
    tide_free(zero);
}

static void check_small_callocs(void)
{
    for (size_t size = 0; size <= TIDE_POOLED_MAX; size += size < TIDE_LOOKUP_MAX ? 1 : 97)
        check_calloc(size);
}

IN_NEW_THREAD(malloc, callocs_block_is_zero_to_the_end_of_its_class, NULL)
{
    check_small_callocs();
}

IN_NEW_THREAD(malloc, callocs_block_is_zero_to_its_end_with_checks_too, "TIDEPOOL_CHECK=on")
{
    check_small_callocs();
}

enum { LINES = 28, LINE_SIZES = 3 }; /* a heap gets as many of each; a page has less than all */

static void *lines[LINE_SIZES][LINES];

static size_t line_size(size_t c)
{
    return TIDE_ALIGNMENT * (c + 1);
}

static void soil_lines(void *unused)
{
    (void)unused;
    for (size_t c = 0; c < LINE_SIZES; c++)
        for (int n = 0; n < LINES; n++)
            memset(lines[c][n] = allocate(opaque(line_size(c))), 0xa5, TIDE_CACHE_LINE);
    for (size_t c = 0; c < LINE_SIZES; c++)
        free_all(lines[c], LINES);
    tide_thread_idle(); /* they go home */
}

/* There requests for less get a cache line. */
IN_NEW_THREAD(malloc, callocs_block_of_the_common_heap_is_zero_to_its_end, NULL)
{
    make_many_heaps();
    own_heap(); /* or this thread would go on with the other's */
    run_thread(soil_lines, NULL);
    for (size_t c = 0; c < LINE_SIZES; c++)
        for (int n = 0; n < LINES; n++) {
            char *line = tide_calloc(1, opaque(line_size(c)));

            TIDE_REQUIRE(line && tide_usable_size(line) == TIDE_CACHE_LINE);
            TIDE_REQUIRE(is_zero(line, TIDE_CACHE_LINE));
        }
}

static const size_t soiled_bytes = (size_t)64 << 20;

static char *leave_soiled(void)
{
    char *soiled = memset(allocate(soiled_bytes), 0xa5, soiled_bytes);

    tide_free(soiled);
    return soiled;
}

static bool is_soiled(const char *soiled, const char *block)
{
    return block >= soiled && block < soiled + soiled_bytes;
}

/* Blocks of memory that was never used come first. */
static void calloc_until_soiled(const char *soiled, size_t size)
{
    char *zero;

    do {
        zero = tide_calloc(1, size);
        TIDE_REQUIRE(zero && is_zero(zero, tide_usable_size(zero)));
        TIDE_REQUIRE(tide_usable_size(zero) <= size + size / 8 + 2 * tide_os_page_bytes);
    } while (!is_soiled(soiled, zero));
}

IN_NEW_THREAD(malloc, callocs_block_of_used_memory_is_zero_to_its_end_and_not_far_too_large, NULL)
{
    static const size_t used_for[] = { 60000, 300000, 5000000, 40000000 };

    leave_maintenance_out(); /* which would purge it */
    for (size_t n = 0; n < sizeof used_for / sizeof *used_for; n++)
        calloc_until_soiled(leave_soiled(), used_for[n]);
}

Test(malloc, calloc_multiplies)
{
    char *block = tide_calloc(7, 1001);

    cr_assert(block && is_zero(block, 7007));
    cr_assert_geq(tide_usable_size(block), 7007);
    tide_free(block);
    block = tide_calloc(0, 100);
    cr_assert(block);
    tide_free(block);
    block = tide_calloc(100, 0);
    cr_assert(block);
    tide_free(block);
}

Test(malloc, a_product_that_overflows_is_enomem)
{
    static const size_t factors[][2] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {(size_t)1 << 32, (size_t)1 << 32},
        {SIZE_MAX, SIZE_MAX},
        {((size_t)1 << 32) + 1, (size_t)1 << 32},
        {1, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 1},
    };

    for (size_t n = 0; n < sizeof factors / sizeof *factors; n++) {
        errno = 0;
        cr_assert_null(tide_calloc(opaque(factors[n][0]), opaque(factors[n][1])));
        cr_assert_eq(errno, ENOMEM);
    }
}

/* ---- free --------------------------------------------------------------- */

Test(malloc, freeing_null_does_nothing)
{
    errno = ERANGE;
    tide_free(NULL);
    tide_free_sized(NULL, 100);
    tide_free_aligned_sized(NULL, 64, 100);
    cr_assert_eq(errno, ERANGE);
}

Test(malloc, free_keeps_errno_even_when_memory_goes_back)
{
    tide_options.pool_stock = 0;
    tide_options.decay_ms = 0;
    for (int n = 0; n < SIZES; n++) {
        void *block = allocate(sizes[n]);

        errno = ERANGE;
        tide_free(block);
        cr_assert_eq(errno, ERANGE, "%zu bytes", sizes[n]);
    }
    for (int n = 0; n < 2; n++) { /* at two looks */
        void *block = allocate((size_t)256 << 20);

        errno = ERANGE;
        tide_free(block);
        tide_upkeep_look();
        cr_assert_eq(errno, ERANGE);
        cr_assert_eq(tide_store_totals().dirty_bytes, 0);
    }
}

IN_NEW_THREAD(malloc, a_freed_block_is_the_next_one, NULL)
{
    void *block = allocate(100);

    while (list_of(own_heap(), tide_class_of(100)))
        allocate(100);
    tide_free(block);
    TIDE_REQUIRE(allocate(100) == block);
}

static void free_elsewhere(void *block)
{
    tide_free(block);
}

Test(malloc, any_thread_frees_any_block)
{
    struct peer peer;

    peer_start(&peer);
    for (int n = 0; n < SIZES; n++)
        peer_do(&peer, free_elsewhere, allocate(sizes[n]));
    peer_end(&peer);
    tide_check_all();
}

static void *block;

static void free_block(void)
{
    tide_free(block);
}

Test(malloc, misuse_is_reported_as_frees)
{
    block = allocate(100);
    tide_free(block);
    assert_aborted(run_apart(free_block), "free(%p): already free: a block of 112 bytes", block);
    block = &block;
    assert_aborted(run_apart(free_block),
                   "free(%p): not a tidepool block: no memory of tidepool's is there", block);
}

/* ---- Sized frees -------------------------------------------------------- */

Test(malloc, sized_frees_free)
{
    for (int n = 0; n < SIZES; n++) {
        void *aligned = tide_aligned_alloc(64, sizes[n]);

        block = allocate(sizes[n]);
        errno = ERANGE;
        tide_free_sized(block, sizes[n]);
        tide_free_aligned_sized(aligned, 64, sizes[n]);
        cr_assert_eq(errno, ERANGE);
    }
    tide_check_all();
}

PROGRAM(free_sized)
{
    char *at = allocate(100);

    tide_free_sized(at, 112);
    at = allocate(100);
    tide_free_sized(at, 113);
}

PROGRAM(free_aligned_sized)
{
    char *first = tide_aligned_alloc(64, 64), *second = tide_aligned_alloc(64, 64);

    tide_free_aligned_sized(is_aligned(first, 128) ? second : first, 128, 64);
}

PROGRAM(free_wrongly_aligned)
{
    tide_free_aligned_sized(allocate(100), 24, 100);
}

static void assert_message(const char *program, const char *setting, const char *message)
{
    struct outcome outcome = run_program(program, setting, NULL);

    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT, "%s",
              outcome.text);
    cr_assert(strstr(outcome.text, message), "%s", outcome.text);
}

Test(malloc, with_checks_on_wrong_sizes_are_seen)
{
    assert_message("free_sized", "TIDEPOOL_CHECK=on", "): the block has 112 bytes, not 113\n");
    assert_message("free_sized", "TIDEPOOL_CHECK=on", "tidepool: free_sized(0x");
    assert_message("free_aligned_sized", "TIDEPOOL_CHECK=on",
                   "): the block is not aligned to 128\n");
    assert_message("free_wrongly_aligned", "TIDEPOOL_CHECK=on",
                   "): the block is not aligned to 24\n");
    assert_message("free_wrongly_aligned", "TIDEPOOL_CHECK=on", "tidepool: free_aligned_sized(0x");
}

Test(malloc, without_checks_a_wrong_size_is_only_a_hint)
{
    if (!TIDE_DEBUG) {
        assert_ended_well(run_program("free_sized", NULL, NULL));
        assert_ended_well(run_program("free_wrongly_aligned", NULL, NULL));
    } else {
        assert_message("free_sized", NULL, "): the block has 112 bytes, not 113\n");
    }
}

/* ---- The standard names ------------------------------------------------- */

Test(malloc, the_standard_names_are_ours_when_built_so)
{
    void *blocks[] = { malloc(100), calloc(10, 10), realloc(NULL, 100) };

    for (int n = 0; n < 3; n++) {
        cr_assert_eq(tide_owns(blocks[n]), TIDE_OVERRIDE);
        free(blocks[n]);
    }
}
