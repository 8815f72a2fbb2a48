/* test/unit/api/forks.h - for the tests of fork: blocks of every kind, children that use
 * them and end, another thread, and an orphan
 */
#ifndef TIDE_TEST_FORKS_H
#define TIDE_TEST_FORKS_H

#include "../heap/heaps.h"
#include "heap/remote.h"

/* A test in a program of its own, with nothing under way. */
#define SCENARIO(name, setting)                                                               \
    Test(fork, name, .timeout = 2 * WATCHDOG_SECONDS)                                         \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_RCU=off", setting));                   \
    }                                                                                         \
    PROGRAM(name)

#define SIZE ((size_t)240)

static const size_t sizes[] = {
    1, SIZE, 2048, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1, TIDE_ARENA_BYTES / 2, TIDE_ARENA_BYTES,
};

enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 20 };

MAY_BE_UNUSED static void *before[SIZES][EACH], *others[SIZES][EACH];

MAY_BE_UNUSED static void allocate_all(void *blocks)
{
    void *(*all)[EACH] = blocks;

    for (int n = 0; n < SIZES; n++)
        for (int k = 0; k < EACH; k++)
            memset(all[n][k] = allocate(sizes[n]), n + 1, sizes[n]);
}

MAY_BE_UNUSED static void free_everything(void *blocks)
{
    void *(*all)[EACH] = blocks;

    for (int n = 0; n < SIZES; n++)
        for (int k = 0; k < EACH; k++) {
            const unsigned char *block = all[n][k];

            TIDE_REQUIRE(block[0] == n + 1 && block[sizes[n] - 1] == n + 1);
            tide_free(all[n][k]);
        }
}

MAY_BE_UNUSED static void use_everything(void *unused)
{
    static void *all[SIZES][EACH];

    allocate_all(all);
    free_everything(all);
    (void)unused;
}

MAY_BE_UNUSED static void end_child(void)
{
    use_everything(NULL);
    tide_purge();
    tide_check_all();
    _exit(0);
}

MAY_BE_UNUSED static void wait_for(pid_t child)
{
    int status;

    TIDE_REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    TIDE_REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

MAY_BE_UNUSED static pid_t fork_child(void)
{
    pid_t child = fork();

    TIDE_REQUIRE(child >= 0);
    if (child == 0)
        alarm(WATCHDOG_SECONDS);
    return child;
}

MAY_BE_UNUSED static struct peer other;
static struct heap *others_heap;

MAY_BE_UNUSED static void start_other(void)
{
    own_heap();
    peer_start(&other);
    peer_do(&other, get_heap, &others_heap);
}

MAY_BE_UNUSED static void *left;

MAY_BE_UNUSED static void leave_block(void *heap)
{
    get_heap(heap);
    left = memset(allocate(SIZE), 7, SIZE);
}

MAY_BE_UNUSED static void expect_heap(void *wanted)
{
    TIDE_REQUIRE(own_heap() == wanted && ((char *)left)[SIZE - 1] == 7);
    tide_free(left);
}

MAY_BE_UNUSED static void expect_another_heap(void *unwanted)
{
    TIDE_REQUIRE(own_heap() != unwanted);
    tide_free(left);
}

MAY_BE_UNUSED static struct heap *make_orphan(void)
{
    struct heap *orphan;

    start_other();
    run_thread(leave_block, &orphan);
    TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_ORPHAN);
    return orphan;
}

#endif
