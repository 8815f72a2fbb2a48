/* test_cache.c - large/cache.h: freed blocks that wait for who asks for their size
 */
#include "large/cache.h"

#include "base/lock.h"
#include "large_blocks.h"

#define SIZE ((size_t)40960)
#define MOST ((size_t)128 << 10)

enum { SLOTS = 16 };

static size_t times_locked(void)
{
    struct tide_lock sum = TIDE_LOCK_INITIALIZER;

    tide_lock_add_counts(&sum, tide_store_lock());
    return tide_relaxed(&sum.acquired);
}

static size_t dirty(void)
{
    return tide_store_totals().dirty_bytes;
}

LARGE_SCENARIO(a_freed_block_is_given_again_without_the_store)
{
    char *blocks[SLOTS];
    size_t before;

    for (int n = 0; n < SLOTS; n++)
        blocks[n] = take(SIZE, PAGE);
    before = times_locked();
    for (int round = 0; round < 100; round++) {
        for (int n = 0; n < SLOTS; n++)
            put(blocks[n]);
        for (int n = 0; n < SLOTS; n++)
            blocks[n] = take(SIZE, PAGE);
    }
    TIDE_REQUIRE(times_locked() == before);
    for (int n = 0; n < SLOTS; n++)
        for (int k = 0; k < n; k++)
            TIDE_REQUIRE(blocks[n] != blocks[k]);
}

LARGE_SCENARIO(only_the_same_size_is_given)
{
    char *block = take(SIZE, PAGE);

    put(block);
    TIDE_REQUIRE(take(2 * SIZE, PAGE) != block && take(SIZE - 2 * PAGE, PAGE) != block);
    TIDE_REQUIRE(take(SIZE - PAGE + 1, PAGE) == block);
}

LARGE_SCENARIO(a_block_that_is_to_be_aligned_comes_from_the_store)
{
    put(take(SIZE, PAGE));
    TIDE_REQUIRE(is_aligned(take(SIZE, 64 * PAGE), 64 * PAGE));
}

LARGE_SCENARIO(what_has_no_room_goes_into_the_store)
{
    char *blocks[3 * SLOTS];

    for (int n = 0; n < 3 * SLOTS; n++)
        blocks[n] = take(SIZE, PAGE);
    for (int n = 0; n < 3 * SLOTS; n++)
        put(blocks[n]);
    TIDE_REQUIRE(dirty() == 2 * SLOTS * SIZE);
    tide_large_cache_flush();
    TIDE_REQUIRE(dirty() == 3 * SLOTS * SIZE);
}

LARGE_SCENARIO(larger_blocks_go_into_the_store)
{
    put(take(MOST + 1, PAGE));
    TIDE_REQUIRE(dirty() == tide_large_good_size(MOST + 1));
    put(take(MOST, PAGE));
    TIDE_REQUIRE(dirty() == tide_large_good_size(MOST + 1) - MOST);
}

LARGE_SCENARIO(calloc_takes_none_and_touches_nothing)
{
    char *block = memset(take(SIZE, PAGE), 1, SIZE), *cleared;

    put(block);
    cleared = tide_calloc(1, SIZE);
    TIDE_REQUIRE(cleared != block && resident_pages(cleared, SIZE) == 0);
    TIDE_REQUIRE(is_zero(cleared, SIZE) && take(SIZE, PAGE) == block);
}

/* What waits gives way to what is freed now, so that a size that is not used any more
 * doesn't stand in the way. */
LARGE_SCENARIO(a_full_set_serves_another_size)
{
    char *blocks[SLOTS];
    size_t before;

    for (int n = 0; n < SLOTS; n++)
        blocks[n] = take(SIZE, PAGE);
    for (int n = 0; n < SLOTS; n++)
        put(blocks[n]);
    for (int round = 0; round < 2; round++) {
        for (int n = 0; n < SLOTS / 2; n++)
            blocks[n] = take(2 * SIZE, PAGE);
        for (int n = 0; n < SLOTS / 2; n++)
            put(blocks[n]);
    }
    before = times_locked();
    for (int n = 0; n < SLOTS / 2; n++)
        blocks[n] = take(2 * SIZE, PAGE);
    TIDE_REQUIRE(times_locked() == before);
}

LARGE_SCENARIO(a_purge_takes_what_waits)
{
    char *block = memset(take(SIZE, PAGE), 1, SIZE);

    put(block);
    tide_purge();
    TIDE_REQUIRE(dirty() == 0 && resident_pages(block, SIZE) == 0);
}

/* ---- Misuse ---------------------------------------------------------------- */

static void free_twice(void)
{
    char *block = tide_malloc(SIZE);

    tide_free(block);
    tide_free(block);
}

static void free_inside(void)
{
    char *block = tide_malloc(SIZE);

    tide_free(block);
    tide_free(block + PAGE);
}

static void check_abort(void (*misuse)(void), const char *what)
{
    struct outcome outcome = run_apart(misuse);

    cr_assert(WIFSIGNALED(outcome.status) && strstr(outcome.text, what), "%s", outcome.text);
}

Test(large, a_block_that_waits_is_free)
{
    check_abort(free_twice, "already free: a large block");
    check_abort(free_inside, "already free, or never allocated");
}

/* ---- Threads --------------------------------------------------------------- */

/* Each thread writes its mark into its blocks, and finds it there. */
static void use_blocks(void *mark)
{
    char *blocks[SLOTS] = { NULL };
    unsigned seed = (unsigned)(uintptr_t)mark;

    for (int round = 0; round < 5000; round++) {
        int n = rand_r(&seed) % SLOTS;

        if (blocks[n]) {
            TIDE_REQUIRE(*(void **)blocks[n] == mark);
            put(blocks[n]);
            blocks[n] = NULL;
        } else {
            blocks[n] = take(SIZE << n % 2, PAGE);
            *(void **)blocks[n] = mark;
        }
        if (round % 1024 == 0)
            tide_large_cache_flush();
    }
    for (int n = 0; n < SLOTS; n++)
        if (blocks[n])
            put(blocks[n]);
}

LARGE_SCENARIO(threads_share_sets_and_get_no_block_twice)
{
    enum { PEERS = 80 }; /* more than there are sets */
    struct peer peers[PEERS];
    size_t blocks = tide_store_totals().blocks;

    for (int n = 0; n < PEERS; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < PEERS; n++)
        peer_ask(&peers[n], use_blocks, &peers[n]);
    for (int n = 0; n < PEERS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    tide_large_cache_flush();
    TIDE_REQUIRE(tide_store_totals().blocks == blocks);
}
