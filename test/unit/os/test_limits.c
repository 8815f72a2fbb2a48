/* test_limits.c - os/limits.h: what counts, what is refused, and when a
 * crossing is told */
#include "os/limits.h"

#include <errno.h>

#include "base/atomic.h"
#include "os/map.h"
#include "store/purge.h"
#include "store/store.h"
#include "../unit.h"

#define MIB ((size_t)1 << 20)

/* Room for so many bytes more than are mapped already. */
static void leave_room(size_t soft, size_t hard)
{
    size_t mapped = tide_os_limits_mapped();

    tide_os_limits_set(mapped + soft, mapped + hard);
}

static bool is_told(void) /* a crossing, which is cleared */
{
    bool was = tide_relaxed(&tide_os_limits_are_crossed);

    tide_set_relaxed(&tide_os_limits_are_crossed, false);
    return was;
}

/* A block of the store's, which counts what is used and what is dirty. */
static struct tide_range *take(size_t bytes)
{
    struct tide_request request = { bytes, tide_os_page_bytes, 0, RANGE_BLOCK, true };
    size_t fresh;

    return tide_store_take(&request, &fresh);
}

/* What the store has from the OS, and its records, for so many bytes and more. */
static void prepare(size_t bytes)
{
    struct tide_range *range = take(bytes);

    cr_assert(range);
    tide_store_put(range, RANGE_DIRTY);
    tide_store_purge(0, SIZE_MAX);
}

/* ---- Counting ----------------------------------------------------------- */

Test(limits, what_is_mapped_counts)
{
    size_t before = tide_os_limits_mapped(), page = tide_os_page_bytes;
    char *start = tide_os_map(5 * MIB, TIDE_ARENA_BYTES);

    cr_assert_eq(tide_os_limits_mapped(), before + 5 * MIB);
    tide_os_purge(start, 5 * MIB);
    cr_assert_eq(tide_os_limits_mapped(), before + 5 * MIB, "purged is mapped");
    tide_os_unmap(start, page);
    tide_os_unmap(start + page, 5 * MIB - page);
    cr_assert_eq(tide_os_limits_mapped(), before);
}

Test(limits, what_the_store_has_counts_until_it_is_purged)
{
    struct tide_range *range;
    size_t before, fresh;

    prepare(20 * MIB);
    before = tide_os_limits_mapped();
    range = take(3 * MIB);
    cr_assert_eq(tide_os_limits_mapped(), before + 3 * MIB);
    cr_assert(tide_store_shrink(range, MIB));
    cr_assert_eq(tide_os_limits_mapped(), before + 3 * MIB, "its tail is dirty");
    cr_assert(tide_store_extend(range, 2 * MIB, &fresh));
    cr_assert_eq(tide_os_limits_mapped(), before + 3 * MIB);
    cr_assert_eq(tide_store_purge(0, SIZE_MAX), MIB);
    cr_assert_eq(tide_os_limits_mapped(), before + 2 * MIB);
    cr_assert(tide_store_extend(range, 3 * MIB, &fresh));
    cr_assert_eq(tide_os_limits_mapped(), before + 3 * MIB);
    range = tide_store_move(range, 5 * MIB);
    if (!range)
        cr_skip_test("the kernel can't move pages without their range (before 5.7)");
    cr_assert_eq(tide_os_limits_mapped(), before + 5 * MIB, "the one it was in is purged");
    tide_store_put(range, RANGE_DIRTY);
    cr_assert_eq(tide_os_limits_mapped(), before + 5 * MIB);
    tide_store_purge(0, SIZE_MAX);
    cr_assert_eq(tide_os_limits_mapped(), before);
}

Test(limits, what_fails_does_not_count)
{
    size_t before = tide_os_limits_mapped();

    tide_os_fail_map_every(1);
    cr_assert_null(tide_os_map(MIB, TIDE_ARENA_BYTES));
    tide_os_fail_map_every(0);
    cr_assert_null(tide_os_map((size_t)1 << 62, TIDE_ARENA_BYTES));
    cr_assert_null(tide_os_map(~(tide_os_page_bytes - 1), TIDE_ARENA_BYTES));
    cr_assert_eq(tide_os_limits_mapped(), before);
}

Test(limits, what_the_store_fails_to_get_does_not_count)
{
    struct tide_range *range;
    size_t before, fresh;

    prepare(MIB);
    range = take(MIB);
    before = tide_os_limits_mapped();
    tide_os_fail_map_every(1);
    cr_assert_null(take((size_t)1 << 40));
    cr_assert_not(tide_store_extend(range, (size_t)1 << 40, &fresh));
    cr_assert_null(tide_store_move(range, (size_t)1 << 40));
    tide_os_fail_map_every(0);
    cr_assert_null(take((size_t)1 << 62));
    cr_assert_eq(tide_os_limits_mapped(), before);
    tide_store_check();
}

/* ---- The hard limit ----------------------------------------------------- */

Test(limits, nothing_goes_beyond_the_hard_limit)
{
    char *start;

    leave_room(100 * MIB, 3 * MIB);
    start = tide_os_map(2 * MIB, tide_os_page_bytes);
    cr_assert(start);
    errno = 0;
    cr_assert_null(tide_os_map(2 * MIB, tide_os_page_bytes));
    cr_assert_eq(errno, ENOMEM);
    tide_os_unmap(start, 2 * MIB);
    start = tide_os_map(3 * MIB, tide_os_page_bytes);
    cr_assert(start, "what went can be had again");
    tide_os_unmap(start, 3 * MIB);
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
}

Test(limits, the_store_does_not_go_beyond_it)
{
    struct tide_range *range;
    size_t fresh;

    prepare(20 * MIB);
    leave_room(100 * MIB, 4 * MIB);
    range = take(2 * MIB);
    cr_assert(range);
    errno = 0;
    cr_assert_null(take(3 * MIB));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_not(tide_store_extend(range, 5 * MIB, &fresh));
    cr_assert_null(tide_store_move(range, 5 * MIB));
    cr_assert(tide_store_extend(range, 3 * MIB, &fresh));
    range = tide_store_move(range, 4 * MIB);
    if (!range)
        cr_skip_test("the kernel can't move pages without their range (before 5.7)");
    cr_assert_null(take(tide_os_page_bytes), "only the growth counted, but that did");
    tide_store_put(range, RANGE_DIRTY);
    range = take(4 * MIB);
    cr_assert(range, "what is dirty counts already");
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
    tide_store_check();
}

static void take_bytes(void *granted)
{
    for (int n = 0; n < 20000; n++)
        if (tide_os_limits_take(1))
            ++*(size_t *)granted;
}

Test(limits, threads_together_get_just_what_the_limit_leaves)
{
    enum { PEERS = 4, ROOM = 50000 };
    static struct peer peers[PEERS];
    size_t granted[PEERS] = { 0 }, sum = 0;

    for (int n = 0; n < PEERS; n++)
        peer_start(&peers[n]);
    leave_room(TIDE_NO_LIMIT / 2, ROOM);
    for (int n = 0; n < PEERS; n++)
        peer_ask(&peers[n], take_bytes, &granted[n]);
    for (int n = 0; n < PEERS; n++) {
        peer_wait(&peers[n]);
        sum += granted[n];
    }
    cr_assert_eq(sum, ROOM);
    cr_assert_eq(tide_os_limits_mapped(), tide_os_limits_hard());
    tide_os_limits_put(sum);
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
    for (int n = 0; n < PEERS; n++)
        peer_end(&peers[n]);
}

/* ---- The soft limit ----------------------------------------------------- */

Test(limits, a_crossing_is_told_once_and_again_after_a_sixteenth_less)
{
    const size_t most = 31 * MIB / 2;
    size_t soft;
    char *first, *second;

    leave_room(16 * MIB, 100 * MIB);
    soft = tide_os_limits_soft();
    first = tide_os_map(most, tide_os_page_bytes);
    cr_assert_not(is_told());
    second = tide_os_map(2 * MIB, tide_os_page_bytes);
    cr_assert(is_told());
    tide_os_unmap(second, 2 * MIB);
    second = tide_os_map(2 * MIB, tide_os_page_bytes);
    cr_assert_not(is_told(), "it fell too little");
    tide_os_unmap(first, most);
    cr_assert_leq(tide_os_limits_mapped(), soft - soft / 16);
    first = tide_os_map(most, tide_os_page_bytes);
    cr_assert(is_told());
    tide_os_unmap(first, most);
    tide_os_unmap(second, 2 * MIB);
}

Test(limits, what_the_store_takes_and_extends_crosses_too)
{
    struct tide_range *range;
    size_t fresh;

    prepare(20 * MIB);
    leave_room(4 * MIB, 100 * MIB);
    range = take(8 * MIB);
    cr_assert(is_told() && tide_store_shrink(range, MIB) && !is_told());
    cr_assert(tide_store_extend(range, 7 * MIB, &fresh) && !is_told(), "that was dirty");
    cr_assert(tide_store_shrink(range, MIB));
    tide_store_purge(0, SIZE_MAX);
    cr_assert(!is_told() && tide_store_extend(range, 7 * MIB, &fresh) && is_told());
}

Test(limits, what_could_not_be_mapped_crosses_nothing)
{
    leave_room(MIB, TIDE_NO_LIMIT / 4);
    cr_assert_null(tide_os_map((size_t)1 << 60, tide_os_page_bytes));
    cr_assert_not(is_told());
}
