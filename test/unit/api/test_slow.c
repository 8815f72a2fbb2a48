/* test_slow.c - api/slow.h: sizes and alignments to kinds of memory, and the
 * checked ways */
#include "api/slow.h"

#include <errno.h>

#include "../heap/heaps.h"
#include "api/fast.h"
#include "check/inspect.h"
#include "os/map.h"
#include "store/store.h"

static const size_t boundaries[] = {
    TIDE_WORD_BYTES, TIDE_ALIGNMENT,  TIDE_SMALL_MAX, TIDE_LOOKUP_MAX,  TIDE_NARROW_MAX,
    TIDE_POOLED_MAX, TIDE_SLOT_BYTES, TIDE_SLOTS * TIDE_SLOT_BYTES / 2, TIDE_ARENA_BYTES,
};

enum { BOUNDARIES = sizeof boundaries / sizeof *boundaries };

static enum found_kind kind_for(size_t size)
{
    return size <= TIDE_POOLED_MAX ? FOUND_POOLED : FOUND_LARGE;
}

/* ---- Sizes -------------------------------------------------------------- */

static void check_size(size_t size)
{
    bool said_zero;
    char *block = tide_api_malloc_any(size, &said_zero);
    struct found found;

    cr_assert(block);
    found = tide_check_find(block, "probe");
    cr_assert_eq(found.kind, kind_for(size), "%zu bytes", size);
    cr_assert_geq(found.bytes, size);
    cr_assert(is_aligned(block, size > TIDE_WORD_BYTES ? TIDE_ALIGNMENT : TIDE_WORD_BYTES));
    if (said_zero)
        cr_assert(is_zero(block, found.bytes));
    memset(block, 0xa5, found.bytes);
    tide_free(block);
}

Test(slow, every_size_gets_its_kind_of_memory)
{
    check_size(0);
    for (int n = 0; n < BOUNDARIES; n++)
        for (size_t size = boundaries[n] - 1; size <= boundaries[n] + 1; size++) {
            check_size(size);
            check_size(size); /* now of used memory */
        }
    tide_check_all();
}

Test(slow, the_good_size_is_what_one_gets)
{
    for (int n = 0; n < BOUNDARIES; n++)
        for (size_t size = boundaries[n] - 1; size <= boundaries[n] + 1; size++) {
            void *block = allocate(size);

            cr_assert_eq(tide_api_good_size(size), tide_check_find(block, "probe").bytes,
                         "%zu bytes", size);
            cr_assert_eq(tide_api_good_size(tide_api_good_size(size)), tide_api_good_size(size));
            tide_free(block);
        }
}

Test(slow, a_size_that_is_too_much_is_its_own_good_size)
{
    cr_assert_eq(tide_api_good_size((size_t)PTRDIFF_MAX + 1), (size_t)PTRDIFF_MAX + 1);
    cr_assert_eq(tide_api_good_size(SIZE_MAX), SIZE_MAX);
}

Test(slow, more_than_a_pointer_difference_is_enomem)
{
    bool said_zero;

    for (size_t size = (size_t)PTRDIFF_MAX - 1; size <= (size_t)PTRDIFF_MAX + 1; size++) {
        errno = 0;
        cr_assert_null(tide_api_malloc_any(opaque(size), &said_zero));
        cr_assert_eq(errno, ENOMEM);
        errno = 0;
        cr_assert_null(tide_api_malloc_aligned(opaque(size), 64));
        cr_assert_eq(errno, ENOMEM);
    }
    errno = 0;
    cr_assert_null(tide_api_malloc_any(SIZE_MAX, &said_zero));
    cr_assert_eq(errno, ENOMEM);
}

/* ---- Alignments --------------------------------------------------------- */

static void check_aligned(size_t size, size_t alignment)
{
    char *block = tide_api_malloc_aligned(size, alignment);

    cr_assert(block, "%zu bytes aligned to %zu", size, alignment);
    cr_assert(is_aligned(block, alignment), "%zu bytes aligned to %zu", size, alignment);
    cr_assert_geq(tide_check_find(block, "probe").bytes, size);
    memset(block, 0xa5, size);
    tide_free(block);
}

Test(slow, every_size_can_have_every_alignment)
{
    for (size_t alignment = 1; alignment <= 4 * TIDE_ARENA_BYTES; alignment *= 2) {
        check_aligned(0, alignment);
        for (int n = 0; n < BOUNDARIES; n++)
            for (size_t size = boundaries[n] - 1; size <= boundaries[n] + 1; size++)
                check_aligned(size, alignment);
    }
    tide_check_all();
}

Test(slow, aligned_blocks_are_pooled_while_a_class_suits)
{
    void *block = tide_api_malloc_aligned(100, 64);

    cr_assert_eq(tide_check_find(block, "probe").bytes, 128);
    tide_free(block);
    for (size_t alignment = TIDE_SLOT_BYTES; alignment <= TIDE_ARENA_BYTES; alignment *= 2) {
        block = tide_api_malloc_aligned(1, alignment);
        cr_assert_eq(tide_check_find(block, "probe").kind, FOUND_LARGE);
        tide_free(block);
    }
}

Test(slow, an_impossible_alignment_is_enomem)
{
    for (size_t alignment = (size_t)1 << 47; alignment != 0; alignment <<= 1) {
        errno = 0;
        cr_assert_null(tide_api_malloc_aligned(1, alignment));
        cr_assert_eq(errno, ENOMEM);
    }
}

/* ---- Reclaiming --------------------------------------------------------- */

/* The next request for address space fails and those after it do not. */
static void fail_next_map(void)
{
    enum { EVERY = 8 };

    tide_os_fail_map_every(EVERY);
    for (int n = 1; n < EVERY; n++)
        tide_os_unmap(tide_os_map(tide_os_page_bytes, tide_os_page_bytes), tide_os_page_bytes);
}

static void check_reclaim(size_t alignment)
{
    leave_maintenance_out();
    tide_free(allocate(TIDE_ARENA_BYTES));
    cr_assert_geq(tide_store_totals().dirty_bytes, TIDE_ARENA_BYTES);
    fail_next_map();
    errno = ERANGE;
    cr_assert(tide_api_malloc_aligned(40 * TIDE_ARENA_BYTES, alignment));
    cr_assert_eq(errno, ERANGE);
    tide_os_fail_map_every(0);
    cr_assert_eq(tide_store_totals().dirty_bytes, 0);
}

Test(slow, what_was_kept_for_later_goes_before_a_request_fails)
{
    check_reclaim(TIDE_ALIGNMENT);
    check_reclaim(TIDE_ARENA_BYTES);
}

/* ---- The slow halves of the fast paths ---------------------------------- */

Test(slow, medium_sizes_come_from_the_list)
{
    for (size_t size = TIDE_LOOKUP_MAX + 1; size <= TIDE_POOLED_MAX; size += TIDE_LOOKUP_MAX / 2) {
        unsigned c = tide_class_of(size);
        struct block *next;

        allocate(size);
        next = list_of(own_heap(), c);
        if (next)
            cr_assert_eq(tide_api_malloc_slow(size), (void *)next);
    }
}

Test(slow, freeing_keeps_errno)
{
    for (int n = 0; n < BOUNDARIES; n++) {
        void *block = allocate(boundaries[n]);

        errno = ERANGE;
        tide_api_free_checked(block, "probe");
        cr_assert_eq(errno, ERANGE);
    }
}

static void *block;

static void free_again(void)
{
    tide_api_free_checked(block, "probe");
}

Test(slow, the_block_freed_last_is_not_freed_again)
{
    block = allocate(48);
    tide_api_free_checked(block, "probe");
    assert_aborted(run_apart(free_again), "probe(%p): already free: a block of 48 bytes", block);
}

Test(slow, a_large_block_is_not_freed_again)
{
    struct outcome outcome;

    leave_maintenance_out();
    block = allocate(TIDE_SLOT_BYTES);
    tide_api_free_checked(block, "probe");
    outcome = run_apart(free_again);
    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    cr_assert(strstr(outcome.text, "): already free"), "%s", outcome.text);
}

/* ---- With checks on ----------------------------------------------------- */

static void check_live_bits(void)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        char *live = allocate(tide_class_bytes[c]), *aligned;

        TIDE_REQUIRE(tide_arena_is_live(live) && is_aligned(live, TIDE_ALIGNMENT));
        tide_free(live);
        TIDE_REQUIRE(!tide_arena_is_live(live));
        aligned = tide_api_malloc_aligned(tide_class_bytes[c], 32);
        tide_free(aligned);
    }
}

IN_NEW_THREAD(slow, with_checks_on_every_block_has_its_live_bit, "TIDEPOOL_CHECK=on")
{
    check_live_bits();
    TIDE_REQUIRE(tide_api_good_size(1) == TIDE_ALIGNMENT);
    TIDE_REQUIRE(tide_usable_size(allocate(1)) == TIDE_ALIGNMENT);
}

PROGRAM(freed_twice)
{
    char *first = allocate(100), *second = allocate(100);

    tide_free(first);
    tide_free(second);
    tide_free(first);
}

Test(slow, with_checks_on_any_block_freed_twice_is_seen)
{
    struct outcome outcome = run_program("freed_twice", "TIDEPOOL_CHECK=on", NULL);

    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    cr_assert(strstr(outcome.text, "already free: a block of 112 bytes"), "%s", outcome.text);
}

static void write_to_freed_block(void *unused)
{
    void **freed = allocate(100), *live = allocate(100);

    (void)unused;
    tide_free(freed);
    *freed = live; /* the list now goes on with an allocated block */
    for (uint32_t n = 0; n <= capacity_of(100); n++)
        allocate(100);
}

PROGRAM(freed_and_written)
{
    run_thread(write_to_freed_block, NULL);
}

Test(slow, with_checks_on_a_write_to_a_freed_block_is_seen)
{
    struct outcome outcome = run_program("freed_and_written", "TIDEPOOL_CHECK=on", NULL);

    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
    cr_assert(strstr(outcome.text, "the free list of 112-byte blocks holds 0x"), "%s",
              outcome.text);
    cr_assert(strstr(outcome.text, "a freed block was written to\n"), "%s", outcome.text);
}
