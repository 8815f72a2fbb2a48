/* test_huge.c - heap/huge.h: blocks in mappings of their own, and their cache */
#include "heap/huge.h"

#include <errno.h>
#include <sys/syscall.h>

#include "heaps.h"
#include "os/limits.h"
#include "os/map.h"

#define SIZE (TIDE_RUN_MAX + 1)
#define PAGE tide_os_page_bytes

/* In place of the C library's: where the next mapping is to be, and refusing. */
static char *next_place;
static bool refuses_moves;

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    start = next_place ? next_place : start;
    next_place = NULL;
    return (void *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
}

void *mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list arguments;
    void *target;

    va_start(arguments, flags);
    target = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    if (refuses_moves && target) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, start, old_bytes, new_bytes, flags, target);
}

static char *take(size_t size, size_t alignment)
{
    char *block = tide_huge_malloc(size, alignment, NULL);

    cr_assert(block, "%zu bytes aligned to %zu", size, alignment);
    return block;
}

static void fill(char *block, size_t bytes)
{
    for (size_t n = 0; n + sizeof n <= bytes; n += 64)
        *(size_t *)(block + n) = n * 31 + 7;
}

static bool is_filled(const char *block, size_t bytes)
{
    for (size_t n = 0; n + sizeof n <= bytes; n += 64)
        if (*(const size_t *)(block + n) != n * 31 + 7)
            return false;
    return true;
}

static bool is_foreign(const char *block)
{
    return tide_memory_at(block) == TIDE_OTHER;
}

/* The test runner has freed huge blocks, too. */
static void empty_cache(void)
{
    tide_huge_trim(0);
}

TestSuite(huge, .init = empty_cache);

/* ---- Blocks ------------------------------------------------------------- */

static void check_block(size_t size, size_t alignment)
{
    char *block = take(size, alignment);
    struct huge *huge = tide_huge_at(block);
    char *end;

    cr_assert(huge && huge->block == block && !huge->is_cached);
    cr_assert(is_aligned(block, alignment) && is_aligned(block, PAGE));
    cr_assert_geq(tide_huge_usable(huge), size);
    cr_assert_lt(tide_huge_usable(huge), size + PAGE + !size, "no page too many");
    cr_assert_leq((char *)(huge + 1), block, "the record is apart");
    cr_assert(is_zero(block, tide_huge_usable(huge)));
    end = block + tide_huge_usable(huge);
    cr_assert_eq(end, huge->start + huge->bytes);
    cr_assert_eq(tide_huge_at(end - 1), huge);
    for (char *address = block; address < end; address += TIDE_ARENA_BYTES)
        cr_assert_eq(tide_huge_at(address), huge);
    memset(block, 0xa5, tide_huge_usable(huge));
    tide_huge_free(block);
}

Test(huge, a_block_has_its_size_its_alignment_and_a_record)
{
    static const size_t sizes[] = { 0, 1, 4096, SIZE, TIDE_ARENA_BYTES - 4096, TIDE_ARENA_BYTES,
                                    TIDE_ARENA_BYTES + 1, 3 * TIDE_ARENA_BYTES - 8191 };

    for (size_t alignment = TIDE_ALIGNMENT; alignment <= 8 * TIDE_ARENA_BYTES; alignment *= 4)
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
            tide_huge_trim(0); /* of the test runner's, too */
            check_block(sizes[n], alignment);
        }
    tide_api_check();
}

Test(huge, just_its_own_pieces_of_the_address_map_are_its)
{
    char *block = take(SIZE, TIDE_ALIGNMENT);
    struct huge *huge = tide_huge_at(block);

    cr_assert(is_aligned(huge->start, TIDE_ARENA_BYTES));
    cr_assert_eq(tide_memory_at(block), TIDE_HUGE);
    cr_assert_null(tide_huge_at(huge->start + huge->bytes),
                   "beyond the mapping, in its last piece");
    tide_options.huge_cache = 0;
    tide_huge_free(block);
    cr_assert(is_foreign(block));
    cr_assert_not(is_mapped(block));
}

Test(huge, an_aligned_block_leads_its_piece)
{
    char *block = take(2 * TIDE_ARENA_BYTES, TIDE_ARENA_BYTES);
    struct huge *huge = tide_huge_at(block);

    cr_assert_eq(tide_memory_at(block), TIDE_HUGE_ALIGNED);
    cr_assert_eq(tide_memory_at(block + TIDE_ARENA_BYTES), TIDE_HUGE_REST);
    cr_assert_eq((char *)huge + PAGE, block);
    cr_assert_not(is_mapped((char *)huge - PAGE) && tide_huge_at(block)->start < (char *)huge,
                  "what the alignment skipped went back");
    tide_huge_free(block);
    tide_huge_trim(0);
    cr_assert(is_foreign(block) && is_foreign(block + TIDE_ARENA_BYTES));
    cr_assert_not(is_mapped(block));
}

Test(huge, blocks_do_not_overlap)
{
    char *blocks[5];

    for (int n = 0; n < 5; n++)
        memset(blocks[n] = take(SIZE, n % 2 ? TIDE_ARENA_BYTES : PAGE), n, SIZE);
    for (int n = 0; n < 5; n++) {
        for (size_t at = 0; at < SIZE; at += 61)
            cr_assert_eq(blocks[n][at], n);
        tide_huge_free(blocks[n]);
    }
}

Test(huge, totals_count_blocks_and_what_is_cached)
{
    struct huge_totals before = tide_huge_totals(), now;
    char *block = take(SIZE, PAGE), *another = take(2 * SIZE, PAGE);
    size_t bytes = tide_huge_at(block)->bytes, more_bytes = tide_huge_at(another)->bytes;

    now = tide_huge_totals();
    cr_assert_eq(now.blocks, before.blocks + 2);
    cr_assert_eq(now.bytes, before.bytes + bytes + more_bytes);
    tide_huge_free(another);
    tide_huge_free(block);
    now = tide_huge_totals();
    cr_assert_eq(now.blocks, before.blocks);
    cr_assert_eq(now.bytes, before.bytes);
    cr_assert_eq(now.cached_blocks, before.cached_blocks + 2);
    cr_assert_eq(now.cached_bytes, before.cached_bytes + bytes + more_bytes);
    cr_assert_eq(tide_huge_trim(0), now.cached_bytes);
    now = tide_huge_totals();
    cr_assert_eq(now.cached_blocks + now.cached_bytes, 0);
    cr_assert(is_foreign(block));
}

Test(huge, too_much_is_enomem)
{
    static const size_t sizes[] = { (size_t)1 << 62, PTRDIFF_MAX - 4096, PTRDIFF_MAX, SIZE_MAX };
    struct huge_totals before = tide_huge_totals(), after;

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        errno = 0;
        cr_assert_null(tide_huge_malloc(opaque(sizes[n]), TIDE_ALIGNMENT, NULL));
        cr_assert_eq(errno, ENOMEM);
        errno = 0;
        cr_assert_null(tide_huge_malloc(opaque(SIZE), (size_t)1 << 63, NULL));
        cr_assert_eq(errno, ENOMEM);
    }
    after = tide_huge_totals();
    cr_assert(memcmp(&before, &after, sizeof before) == 0);
}

Test(huge, without_memory_there_is_no_block)
{
    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_null(tide_huge_malloc(SIZE, PAGE, NULL));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(tide_huge_malloc(SIZE, TIDE_ARENA_BYTES, NULL));
    cr_assert_eq(errno, ENOMEM);
    tide_os_fail_map_every(0);
    tide_huge_free(take(SIZE, PAGE));
}

/* ---- The cache ---------------------------------------------------------- */

Test(huge, a_freed_block_is_taken_again_and_is_not_zero)
{
    char *block = take(SIZE, PAGE);
    bool said_zero = true;

    memset(block, 1, SIZE);
    tide_huge_free(block);
    cr_assert(tide_huge_at(block)->is_cached);
    cr_assert_eq((char *)tide_huge_malloc(SIZE, TIDE_ALIGNMENT, &said_zero), block);
    cr_assert_not(said_zero);
    cr_assert_not(tide_huge_at(block)->is_cached);
    cr_assert_neq((char *)tide_huge_malloc(SIZE, TIDE_ALIGNMENT, &said_zero), block);
    cr_assert(said_zero);
}

/* With nothing else cached. */
static char *free_one_of(size_t bytes)
{
    char *block = take(bytes, PAGE);

    tide_huge_trim(0);
    memset(block, 7, bytes);
    tide_huge_free(block);
    return block;
}

Test(huge, a_cached_block_serves_what_is_smaller)
{
    size_t bytes = 64 * PAGE + SIZE - SIZE % PAGE;
    char *block = free_one_of(bytes);

    cr_assert_eq(take(bytes / 2, PAGE), block);
    cr_assert_geq(tide_huge_usable(tide_huge_at(block)), bytes);
    cr_assert_eq(tide_huge_totals().slack_bytes, bytes - tide_round_up(bytes / 2, PAGE));
    tide_huge_free(block);
    cr_assert_eq(tide_huge_totals().slack_bytes, 0);
}

Test(huge, a_far_too_large_one_serves_only_within_the_bound_of_the_cache)
{
    char *block = free_one_of(SIZE), *half, *most;
    int64_t usual = tide_options.huge_cache;

    tide_options.huge_cache = SIZE / 4;
    half = take(SIZE / 2, PAGE);
    most = take(SIZE - PAGE, PAGE);
    tide_options.huge_cache = usual; /* the test runner frees, too */
    cr_assert_neq(half, block);
    cr_assert_eq(most, block, "a little too large is none the less");
}

Test(huge, a_cached_block_that_is_too_small_grows)
{
    char *block = free_one_of(SIZE), *grown = take(SIZE + SIZE / 2, PAGE);

    cr_assert_eq(tide_huge_totals().cached_blocks, 0);
    cr_assert_geq(tide_huge_usable(tide_huge_at(grown)), SIZE + SIZE / 2);
    cr_assert(grown == block || is_foreign(block));
    cr_assert_eq(grown[0], 7, "its pages come along");
    grown[SIZE + SIZE / 2 - 1] = 1;
    tide_huge_free(grown);
}

Test(huge, a_small_one_is_not_grown_far)
{
    char *block = free_one_of(SIZE), *other = take(4 * SIZE, PAGE);

    cr_assert_neq(other, block);
    cr_assert_eq(tide_huge_totals().cached_blocks, 1);
    cr_assert_eq(other[SIZE], 0);
}

Test(huge, blocks_of_any_alignment_and_length_have_no_slack_but_what_was_given)
{
    char *aligned = take(2 * SIZE, 2 * TIDE_ARENA_BYTES), *block = free_one_of(2 * SIZE);

    cr_assert_eq(tide_huge_totals().slack_bytes, 0);
    cr_assert_eq(take(SIZE, PAGE), block);
    cr_assert_gt(tide_huge_totals().slack_bytes, 0);
    cr_assert_eq(tide_huge_resize(block, 2 * SIZE), block);
    cr_assert_eq(tide_huge_totals().slack_bytes, 0);
    tide_huge_free(aligned);
}

Test(huge, the_best_fit_is_taken)
{
    char *small = take(SIZE, PAGE), *middle = take(2 * SIZE, PAGE), *large = take(4 * SIZE, PAGE);

    tide_huge_trim(0);
    tide_huge_free(middle);
    tide_huge_free(small);
    tide_huge_free(large);
    cr_assert_eq(take(SIZE + SIZE / 2, PAGE), middle);
    cr_assert_eq(take(SIZE, PAGE), small);
    cr_assert_eq(take(SIZE, PAGE), large);
}

Test(huge, an_aligned_request_is_not_served_by_the_cache)
{
    char *block = take(SIZE, PAGE);

    tide_huge_free(block);
    cr_assert_neq(take(SIZE, 2 * PAGE), block);
}

Test(huge, the_cache_is_bounded_and_the_oldest_go_first)
{
    char *blocks[4];

    tide_huge_trim(0);
    for (int n = 0; n < 4; n++)
        blocks[n] = take(SIZE, PAGE);
    tide_options.huge_cache = (int64_t)(3 * tide_huge_at(blocks[0])->bytes);
    for (int n = 0; n < 4; n++)
        tide_huge_free(blocks[n]);
    cr_assert(is_foreign(blocks[0]));
    for (int n = 1; n < 4; n++)
        cr_assert(tide_huge_at(blocks[n])->is_cached);
    cr_assert_eq(tide_huge_totals().cached_bytes, (size_t)tide_options.huge_cache);
    cr_assert_eq(take(SIZE, PAGE), blocks[3], "the newest is taken first");
}

Test(huge, a_block_larger_than_the_cache_is_not_kept)
{
    char *block = take(SIZE, PAGE);

    tide_options.huge_cache = (int64_t)tide_huge_at(block)->bytes - 1;
    tide_huge_free(block);
    cr_assert(is_foreign(block));
}

Test(huge, trim_keeps_what_it_is_told_to)
{
    char *blocks[3];
    size_t bytes;

    tide_huge_trim(0);
    for (int n = 0; n < 3; n++)
        blocks[n] = take(SIZE, PAGE);
    bytes = tide_huge_at(blocks[0])->bytes;
    for (int n = 0; n < 3; n++)
        tide_huge_free(blocks[n]);
    cr_assert_eq(tide_huge_trim(3 * bytes), 0);
    cr_assert_eq(tide_huge_trim(3 * bytes - 1), bytes);
    cr_assert(is_foreign(blocks[0]) && tide_huge_at(blocks[1])->is_cached);
    cr_assert_eq(tide_huge_trim(0), 2 * bytes);
    cr_assert_eq(tide_huge_trim(0), 0);
}

Test(huge, owns_every_byte_of_live_and_cached_blocks_and_their_records)
{
    char *blocks[2] = { take(3 * TIDE_ARENA_BYTES, PAGE), take(SIZE, TIDE_ARENA_BYTES) };
    struct huge *huge;

    for (int n = 0; n < 2; n++) {
        huge = tide_huge_at(blocks[n]);
        cr_assert(tide_huge_owns(huge) && tide_huge_owns(blocks[n]));
        cr_assert(tide_huge_owns(huge->start + huge->bytes - 1));
        cr_assert_not(tide_huge_owns(huge->start - 1));
    }
    huge = tide_huge_at(blocks[0]);
    cr_assert_not(tide_huge_owns(huge->start + huge->bytes));
    tide_huge_free(blocks[0]);
    cr_assert(tide_huge_owns(blocks[0]) && tide_huge_owns(blocks[0] + 2 * TIDE_ARENA_BYTES));
    tide_huge_trim(0);
    cr_assert_not(tide_huge_owns(blocks[0]));
    cr_assert_not(tide_huge_owns(NULL) || tide_huge_owns((void *)UINTPTR_MAX));
    cr_assert_not(tide_huge_owns(&huge));
}

/* ---- Resizing ----------------------------------------------------------- */

static void assert_resized(char *block, size_t size, size_t kept)
{
    struct huge *huge = tide_huge_at(block);

    cr_assert(huge && huge->block == block);
    cr_assert_eq(tide_huge_usable(huge), tide_round_up(size, PAGE));
    cr_assert(is_filled(block, kept));
    cr_assert_eq(tide_huge_at(block + size - 1), huge);
    memset(block + kept, 1, size - kept);
    cr_assert(is_filled(block, kept));
}

Test(huge, a_block_shrinks_where_it_is)
{
    struct huge_totals before = tide_huge_totals();
    char *block = take(5 * TIDE_ARENA_BYTES, PAGE);

    fill(block, 5 * TIDE_ARENA_BYTES);
    cr_assert_eq((char *)tide_huge_resize(block, SIZE), block);
    assert_resized(block, SIZE, SIZE);
    for (size_t n = 1; n < 5; n++)
        cr_assert(is_foreign(block + n * TIDE_ARENA_BYTES));
    cr_assert_not(is_mapped(block + TIDE_ARENA_BYTES));
    cr_assert_eq(tide_huge_totals().bytes, before.bytes + tide_huge_at(block)->bytes);
    tide_huge_free(block);
    cr_assert_eq(tide_huge_totals().bytes, before.bytes);
}

Test(huge, a_size_in_the_same_page_changes_nothing)
{
    char *block = take(SIZE, PAGE);
    size_t usable = tide_huge_usable(tide_huge_at(block));

    tide_os_fail_map_every(1);
    cr_assert_eq((char *)tide_huge_resize(block, usable), block);
    cr_assert_eq((char *)tide_huge_resize(block, usable - PAGE + 1), block);
    tide_os_fail_map_every(0);
    cr_assert_eq(tide_huge_usable(tide_huge_at(block)), usable);
}

Test(huge, a_block_grows_with_its_contents_wherever_it_goes)
{
    struct huge_totals before = tide_huge_totals();
    char *block = take(SIZE, PAGE);
    size_t size = SIZE;

    fill(block, SIZE);
    for (int n = 0; n < 8; n++) {
        size += size / 2 + 5;
        block = tide_huge_resize(block, size);
        cr_assert(block);
        assert_resized(block, size, SIZE);
    }
    cr_assert_eq(tide_huge_totals().blocks, before.blocks + 1);
    cr_assert_eq(tide_huge_totals().bytes, before.bytes + tide_huge_at(block)->bytes);
    tide_huge_free(block);
    tide_huge_trim(0);
    cr_assert(is_foreign(block));
}

/* Makes sure that something is mapped right after the block. */
static void put_in_the_way(const char *block)
{
    const struct huge *huge = tide_huge_at(block);
    char *end = huge->start + huge->bytes;

    mmap(end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert(is_mapped(end));
}

Test(huge, a_block_moves_when_something_is_in_the_way)
{
    char *block = take(SIZE, PAGE), *moved;

    fill(block, SIZE);
    put_in_the_way(block);
    moved = tide_huge_resize(block, 3 * TIDE_ARENA_BYTES);
    cr_assert(moved && moved != block);
    cr_assert(is_aligned(tide_huge_at(moved)->start, TIDE_ARENA_BYTES));
    assert_resized(moved, 3 * TIDE_ARENA_BYTES, SIZE);
    cr_assert(is_foreign(block) && !is_mapped(block));
    tide_huge_free(moved);
}

static void check_failed_resize(char *block, size_t size)
{
    struct huge_totals before = tide_huge_totals(), after;
    size_t usable = tide_huge_usable(tide_huge_at(block));

    cr_assert_null(tide_huge_resize(block, size));
    after = tide_huge_totals();
    cr_assert(memcmp(&before, &after, sizeof before) == 0);
    cr_assert_eq(tide_huge_at(block)->block, block);
    cr_assert_eq(tide_huge_usable(tide_huge_at(block)), usable);
    cr_assert(is_filled(block, SIZE));
}

Test(huge, a_resize_that_fails_changes_nothing)
{
    char *block = take(SIZE, PAGE);

    fill(block, SIZE);
    put_in_the_way(block);
    tide_os_fail_map_every(1);
    check_failed_resize(block, 3 * TIDE_ARENA_BYTES);
    tide_os_fail_map_every(0);
    check_failed_resize(block, (size_t)1 << 62);
    check_failed_resize(block, PTRDIFF_MAX);
    check_failed_resize(block, SIZE_MAX);
    tide_huge_free(block);
    tide_api_check();
}

/* A part of the address space of which the address map has no table. */
static char *unknown_place(void)
{
    return (char *)(((uintptr_t)1 << TIDE_ADDRESS_BITS) / 4);
}

/* Of the requests after the one to grow and the one for a new range, the nth
 * fails: for the table, or to write there. */
static void check_move_without_address_map(unsigned n)
{
    char *block = take(SIZE, PAGE);

    fill(block, SIZE);
    put_in_the_way(block);
    next_place = unknown_place();
    tide_os_fail_map_every(2 + n);
    check_failed_resize(block, 3 * TIDE_ARENA_BYTES);
    tide_os_fail_map_every(0);
    cr_assert_null(next_place);
    cr_assert(is_foreign(unknown_place()) && !is_mapped(unknown_place()));
    tide_huge_free(block);
    tide_api_check();
}

Test(huge, a_move_for_which_the_address_map_has_no_room_changes_nothing)
{
    char *block, *moved;

    check_move_without_address_map(1);
    check_move_without_address_map(2);
    block = take(SIZE, PAGE);
    fill(block, SIZE);
    put_in_the_way(block);
    next_place = unknown_place();
    moved = tide_huge_resize(block, 3 * TIDE_ARENA_BYTES);
    cr_assert_eq(moved, unknown_place() + PAGE, "away from home all is right, too");
    assert_resized(moved, 3 * TIDE_ARENA_BYTES, SIZE);
    tide_huge_free(moved);
    tide_huge_trim(0);
    cr_assert(is_foreign(unknown_place()));
}

Test(huge, a_move_that_the_kernel_refuses_changes_nothing)
{
    char *block = take(SIZE, PAGE);

    fill(block, SIZE);
    put_in_the_way(block);
    next_place = unknown_place();
    refuses_moves = true;
    check_failed_resize(block, 3 * TIDE_ARENA_BYTES);
    refuses_moves = false;
    cr_assert(is_foreign(unknown_place()) && !is_mapped(unknown_place()));
    tide_huge_free(block);
    tide_api_check();
}

Test(huge, an_aligned_block_is_resized_in_place_or_not_at_all)
{
    char *block = take(SIZE, TIDE_ARENA_BYTES);

    fill(block, SIZE);
    put_in_the_way(block);
    check_failed_resize(block, 3 * TIDE_ARENA_BYTES);
    cr_assert_eq((char *)tide_huge_resize(block, SIZE - PAGE), block);
    assert_resized(block, SIZE - PAGE, SIZE - PAGE);
    tide_huge_free(block);
    tide_huge_trim(0);
    cr_assert(is_foreign(block));
}

/* ---- Threads ------------------------------------------------------------ */

static void take_and_free(void *mark)
{
    for (int round = 0; round < 300; round++) {
        char *block = tide_huge_malloc(SIZE + (size_t)(round % 7) * PAGE, PAGE, NULL);

        TIDE_REQUIRE(block);
        *(void **)block = mark;
        *(void **)(block + TIDE_RUN_MAX - 16) = mark;
        if (round % 5 == 0)
            block = tide_huge_resize(block, 2 * SIZE);
        TIDE_REQUIRE(block && *(void **)block == mark &&
                     *(void **)(block + TIDE_RUN_MAX - 16) == mark);
        tide_huge_free(block);
    }
}

Test(huge, what_stays_cached_is_unmapped)
{
    char *first = take(SIZE, 16), *second = take(2 * SIZE, 16);

    tide_huge_free(first);
    cr_assert_geq(tide_huge_decay(), SIZE);
    tide_huge_free(second);
    cr_assert_geq(tide_huge_decay(), 2 * SIZE);
    cr_assert(is_foreign(first), "it was there at the last look");
    cr_assert_not(is_foreign(second));
    cr_assert_eq(tide_huge_decay(), 0);
    cr_assert(is_foreign(second));
}

Test(huge, what_was_used_meanwhile_stays_cached)
{
    char *block = take(SIZE, 16);

    tide_huge_free(block);
    tide_huge_decay();
    cr_assert_eq(take(SIZE, 16), block);
    tide_huge_free(block);
    cr_assert_geq(tide_huge_decay(), SIZE);
    cr_assert_not(is_foreign(block));
}

Test(huge, threads_get_different_blocks)
{
    struct huge_totals before = tide_huge_totals(), after;
    struct peer peers[3];

    for (int n = 0; n < 3; n++) {
        peer_start(&peers[n]);
        peer_ask(&peers[n], take_and_free, &peers[n]);
    }
    for (int n = 0; n < 3; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    after = tide_huge_totals();
    cr_assert_eq(after.blocks, before.blocks);
    cr_assert_eq(after.bytes, before.bytes);
}
