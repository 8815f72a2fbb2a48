/* test/unit/heap/sleepers.h - threads that are outside the allocator between their
 * jobs, and what they keep; there is no maintenance thread
 */
#ifndef TIDE_TEST_SLEEPERS_H
#define TIDE_TEST_SLEEPERS_H

#include "heaps.h"
#include "heap/remote.h"
#include "os/barrier.h"
#include "os/map.h"

/* A test in a program of its own, where the kernel has what it takes. */
#define SCENARIO(suite, name, setting)                                                        \
    Test(suite, name, .timeout = 2 * WATCHDOG_SECONDS)                                                         \
    {                                                                                         \
        if (!tide_os_barrier())                                                               \
            cr_skip_test("this kernel has no barriers");                                      \
        assert_ended_well(run_program(#name, setting, NULL));                                 \
    }                                                                                         \
    PROGRAM(name)

struct sleeper {
    struct peer peer;
    struct heap *heap;
};

MAY_BE_UNUSED static void start_sleeper(struct sleeper *sleeper)
{
    peer_start(&sleeper->peer);
    peer_do(&sleeper->peer, get_heap, &sleeper->heap);
}

MAY_BE_UNUSED static void wake_for(struct sleeper *sleeper, void (*function)(void *),
                                   void *argument)
{
    peer_do(&sleeper->peer, function, argument);
}

/* Also of other threads' blocks. */
MAY_BE_UNUSED static bool keeps_nothing(const struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        if (heap->surplus[c].first)
            return false;
    return is_bare(heap) && heap->outbox.bytes == 0 && heap->stock_count == 0 &&
           !heap->wide;
}

/* ---- What they do ------------------------------------------------------ */

enum { FOREIGN = 60, LENT = 192 }; /* more than two batches */

MAY_BE_UNUSED static void *kept[TIDE_CLASSES], *foreign[2][FOREIGN]; /* large and small ones */
MAY_BE_UNUSED static void *pool_blocks[MOST_BLOCKS];

/* Leaves a block of each class, the list of each, a stocked pool, and foreign
 * blocks. */
MAY_BE_UNUSED static void use_all(void *unused)
{
    (void)unused;
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        void *freed = allocate(tide_class_bytes[c]);

        kept[c] = memset(allocate(tide_class_bytes[c]), (int)c + 1, tide_class_bytes[c]);
        tide_free(memset(freed, 0xff, tide_class_bytes[c]));
    }
    for (uint32_t n = 0; n < 2 * capacity_of(16); n++)
        pool_blocks[n] = allocate(16);
    free_all(pool_blocks, 2 * capacity_of(16));
    free_all(foreign[0], FOREIGN);
    free_all(foreign[1], FOREIGN);
    memset(foreign, 0, sizeof foreign);
}

MAY_BE_UNUSED static void check_kept(void *unused)
{
    (void)unused;
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        const unsigned char *bytes = kept[c];

        for (size_t n = 0; n < tide_class_bytes[c]; n++)
            TIDE_REQUIRE(bytes[n] == c + 1);
        tide_free(kept[c]);
    }
}

MAY_BE_UNUSED static void allocate_foreign(void)
{
    for (int n = 0; n < FOREIGN; n++) {
        foreign[0][n] = allocate(LENT);
        foreign[1][n] = allocate(TIDE_CACHE_LINE / 2);
    }
}

MAY_BE_UNUSED static void let_use_all(struct sleeper *sleeper)
{
    leave_maintenance_out();
    allocate_foreign();
    start_sleeper(sleeper);
    wake_for(sleeper, use_all, NULL);
}

/* More than the lists have. */
MAY_BE_UNUSED static void use_another_class(void *unused)
{
    (void)unused;
    for (uint32_t n = 0; n <= capacity_of(TIDE_POOLED_MAX); n++)
        allocate(TIDE_POOLED_MAX);
}

#endif
