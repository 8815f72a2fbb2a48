/* test_large_resize.c - large/large.h and realloc: blocks that change where they are, by
 * moving pages or by copying; and copies of the process
 */
#include <errno.h>

#include "../copies.h"
#include "base/lock.h"
#include "large_blocks.h"

#define SIZE (TIDE_ARENA_BYTES / 2)

/* In place of the C library's: it counts, and refuses. */
static size_t moves;
static bool refuses_moves;

void *mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list arguments;
    void *target;

    va_start(arguments, flags);
    target = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    moves++;
    if (refuses_moves) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, start, old_bytes, new_bytes, flags, target);
}

static char *resize(char *block, size_t size)
{
    return tide_large_resize(tide_store_block(block), size);
}

static bool has_good_size(const char *block, size_t size)
{
    return bytes_of(block) == tide_large_good_size(size);
}

/* ---- Where it is ---------------------------------------------------------- */

LARGE_SCENARIO(a_block_shrinks_where_it_is)
{
    char *row[2];

    take_row(row, 2, 8 * MIB);
    fill(row[0], 8 * MIB);
    TIDE_REQUIRE(resize(row[0], 3 * MIB) == row[0] && bytes_of(row[0]) == 3 * MIB);
    TIDE_REQUIRE(is_filled(row[0], 3 * MIB));
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 5 * MIB);
    TIDE_REQUIRE(take(5 * MIB, PAGE) == row[0] + 3 * MIB);
}

LARGE_SCENARIO(a_size_that_is_as_good_changes_nothing)
{
    char *block = take(SIZE, PAGE);

    tide_os_fail_map_every(1);
    TIDE_REQUIRE(resize(block, SIZE) == block && resize(block, SIZE - PAGE) == block);
    TIDE_REQUIRE(resize(block, SIZE - SIZE / 16 + 1) == block);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(bytes_of(block) == SIZE && tide_store_totals().dirty_bytes == 0);
}

LARGE_SCENARIO(a_block_grows_into_its_free_neighbour)
{
    char *row[4];

    take_row(row, 4, MIB);
    fill(row[0], MIB);
    memset(row[1], 5, MIB);
    put(row[1]);
    TIDE_REQUIRE(resize(row[0], 2 * MIB) == row[0] && bytes_of(row[0]) == 2 * MIB);
    TIDE_REQUIRE(is_filled(row[0], MIB) && row[0][MIB] == 5 && row[0][2 * MIB - 1] == 5);
    TIDE_REQUIRE(moves == 0 && tide_store_totals().dirty_bytes == 0);
    put(row[2]);
    TIDE_REQUIRE(resize(row[0], 2 * MIB + MIB / 2) == row[0]);
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == MIB / 2);
}

/* What is behind it is dirty first, and purged then. */
LARGE_SCENARIO(it_grows_into_all_that_is_free_behind_it)
{
    char *row[4];

    take_row(row, 4, MIB);
    put(row[2]);
    tide_store_purge(0, SIZE_MAX);
    put(row[1]);
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == MIB);
    TIDE_REQUIRE(resize(row[0], 3 * MIB) == row[0] && bytes_of(row[0]) == 3 * MIB && moves == 0);
    memset(row[0], 1, 3 * MIB);
}

LARGE_SCENARIO(a_short_block_does_not_grow_into_its_neighbour)
{
    char *row[2], *copied;

    take_row(row, 2, MIB / 2);
    fill(row[0], MIB / 2);
    fill(row[1], MIB / 2);
    TIDE_REQUIRE(!resize(row[0], MIB) && bytes_of(row[0]) == MIB / 2);
    copied = tide_realloc(row[0], MIB);
    TIDE_REQUIRE(copied && copied != row[0] && has_good_size(copied, MIB) && moves == 0);
    TIDE_REQUIRE(is_filled(copied, MIB / 2) && is_filled(row[1], MIB / 2));
    TIDE_REQUIRE(tide_store_block(row[0])->state == RANGE_DIRTY);
}

/* ---- Far less ------------------------------------------------------------- */

LARGE_SCENARIO(a_block_that_shrinks_far_is_copied)
{
    char *row[3], *copied;

    take_row(row, 3, 4 * MIB);
    fill(row[1], 4 * MIB);
    copied = tide_realloc(row[1], MIB);
    TIDE_REQUIRE(copied != row[1] && bytes_of(copied) == MIB && is_filled(copied, MIB));
    TIDE_REQUIRE(take(4 * MIB, PAGE) == row[1]); /* all of it suits one of its size */
}

LARGE_SCENARIO(but_not_if_that_takes_long)
{
    char *row[3];

    take_row(row, 3, 8 * MIB);
    fill(row[1], 8 * MIB);
    TIDE_REQUIRE(tide_realloc(row[1], MIB + 1) == row[1] && has_good_size(row[1], MIB + 1));
    TIDE_REQUIRE(is_filled(row[1], MIB));
}

LARGE_SCENARIO(to_a_half_it_stays)
{
    char *row[3];

    take_row(row, 3, MIB);
    TIDE_REQUIRE(tide_realloc(row[1], MIB / 2) == row[1] && bytes_of(row[1]) == MIB / 2);
}

/* ---- Moving --------------------------------------------------------------- */

/* Nothing is free behind it. */
static char *take_enclosed(size_t bytes)
{
    char *row[2];

    take_row(row, 2, bytes);
    fill(row[0], bytes);
    return row[0];
}

LARGE_SCENARIO(a_block_that_can_not_grow_moves_with_its_pages)
{
    char *block = take_enclosed(4 * MIB), *moved;
    size_t blocks = tide_store_totals().blocks;

    moved = resize(block, 16 * MIB);
    TIDE_REQUIRE(moved && moved != block && moves == 1 && bytes_of(moved) == 16 * MIB);
    TIDE_REQUIRE(is_filled(moved, 4 * MIB) && is_zero(moved + 4 * MIB, 12 * MIB));
    TIDE_REQUIRE(tide_store_totals().blocks == blocks);
    TIDE_REQUIRE(is_mapped(block) && resident_pages(block, 4 * MIB) == 0);
    TIDE_REQUIRE(tide_store_block(block)->state == RANGE_PURGED);
    TIDE_REQUIRE(is_zero(block, 4 * MIB));
    memset(moved, 1, 16 * MIB);
}

LARGE_SCENARIO(it_grows_with_its_contents_wherever_it_goes)
{
    char *block = take(MIB, PAGE);
    size_t blocks = tide_store_totals().blocks, size = MIB;

    fill(block, MIB);
    for (int n = 0; n < 9; n++) {
        size += size / 2 + 5;
        take(PAGE, PAGE); /* in the way */
        block = tide_realloc(block, size);
        TIDE_REQUIRE(block && has_good_size(block, size) && is_filled(block, MIB));
        memset(block + MIB, 1, size - MIB);
    }
    TIDE_REQUIRE(tide_store_totals().blocks == blocks + 9);
}

static void check_failed_resize(char *block, size_t size)
{
    struct tide_store_totals before = tide_store_totals(), after;
    size_t used = tide_relaxed(&tide_store_used), bytes = bytes_of(block);

    TIDE_REQUIRE(!resize(block, size));
    after = tide_store_totals();
    TIDE_REQUIRE(after.blocks == before.blocks && after.block_bytes == before.block_bytes);
    TIDE_REQUIRE(after.dirty_bytes == before.dirty_bytes);
    TIDE_REQUIRE(tide_relaxed(&tide_store_used) == used && bytes_of(block) == bytes);
    TIDE_REQUIRE(is_filled(block, bytes));
    tide_store_check();
}

LARGE_SCENARIO(a_resize_that_fails_changes_nothing)
{
    char *block = take_enclosed(4 * MIB);

    tide_os_fail_map_every(1);
    check_failed_resize(block, 512 * MIB);
    tide_os_fail_map_every(0);
    check_failed_resize(block, (size_t)1 << 62);
    check_failed_resize(block, PTRDIFF_MAX);
    check_failed_resize(block, SIZE_MAX);
    refuses_moves = true;
    check_failed_resize(block, 16 * MIB);
    TIDE_REQUIRE(moves == 1);
}

LARGE_SCENARIO(what_can_not_move_is_copied)
{
    char *block = take_enclosed(4 * MIB), *copied;

    refuses_moves = true;
    errno = ERANGE;
    copied = tide_realloc(block, 16 * MIB);
    TIDE_REQUIRE(copied && copied != block && moves > 0 && errno == ERANGE);
    TIDE_REQUIRE(bytes_of(copied) == 16 * MIB && is_filled(copied, 4 * MIB));
    TIDE_REQUIRE(tide_store_block(block)->state == RANGE_DIRTY);
}

/* The hole behind row[0] is what it moves to. */
static char *move_behind(char *row[3])
{
    char *block = take_enclosed(4 * MIB), *moved;

    take_row(row, 3, 8 * MIB);
    put(row[1]);
    tide_store_purge(0, SIZE_MAX);
    moved = resize(block, 8 * MIB);
    TIDE_REQUIRE(moved == row[1] && tide_relaxed(&tide_store_patches) == 1);
    return moved;
}

LARGE_SCENARIO(a_move_leaves_no_mappings_once_what_moved_is_purged)
{
    char *row[3];

    put(move_behind(row));
    tide_store_purge(0, SIZE_MAX);
    TIDE_REQUIRE(tide_relaxed(&tide_store_patches) == 0);
}

/* ---- Copies of the process ------------------------------------------------ */

static struct peer other;
static char *kept, *freed;

static void lock_store(void *unused)
{
    (void)unused;
    tide_lock(tide_store_lock());
}

static void unlock_store(void *unused)
{
    (void)unused;
    tide_unlock(tide_store_lock());
}

static void get_a_heap(void *heap)
{
    get_heap(heap);
}

/* A live block, a freed one beside it, and another thread with a heap. */
static void prepare_copy(void)
{
    static struct heap *heap;
    char *row[3];

    leave_maintenance_out();
    peer_start(&other);
    peer_do(&other, get_a_heap, &heap);
    take_row(row, 3, 4 * MIB);
    fill(kept = row[0], 4 * MIB);
    freed = memset(row[1], 3, 4 * MIB);
    put(freed);
}

static void use_kept(void)
{
    leave_maintenance_out();
    TIDE_REQUIRE(is_filled(kept, 4 * MIB) && bytes_of(kept) == 4 * MIB);
    kept = tide_realloc(kept, 32 * MIB);
    TIDE_REQUIRE(kept && is_filled(kept, 4 * MIB));
    tide_free(kept);
    tide_store_check();
}

static void be_whole_copy(void)
{
    TIDE_REQUIRE(take(4 * MIB, PAGE) == freed && freed[0] == 3); /* it mends all, first */
    use_kept();
}

LARGE_SCENARIO(a_copy_has_what_is_free_if_nobody_was_at_it)
{
    prepare_copy();
    TIDE_REQUIRE(run_copy(be_whole_copy) == 0);
    peer_end(&other);
}

static void be_copy_of_blocks(void)
{
    allocate(1);
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 0);
    TIDE_REQUIRE(take(4 * MIB, PAGE) != freed);
    use_kept();
}

LARGE_SCENARIO(else_it_has_the_blocks)
{
    prepare_copy();
    peer_do(&other, lock_store, NULL);
    TIDE_REQUIRE(run_copy(be_copy_of_blocks) == 0);
    peer_do(&other, unlock_store, NULL);
    peer_end(&other);
}

static void be_child(void)
{
    TIDE_REQUIRE(tide_store_totals().dirty_bytes == 4 * MIB);
    TIDE_REQUIRE(take(4 * MIB, PAGE) == freed && freed[0] == 3);
    use_kept();
}

LARGE_SCENARIO(a_child_has_everything)
{
    struct outcome outcome;

    prepare_copy();
    outcome = run_apart(be_child);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    TIDE_REQUIRE(is_filled(kept, 4 * MIB));
    peer_end(&other);
}
