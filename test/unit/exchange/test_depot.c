/* test_depot.c - exchange/depot.h: batches that threads leave for others, how large
 * they are and how many stay
 *
 * The blocks are this thread's, which lends them to the depot.
 */
#include "exchange/depot.h"

#include <sched.h>

#include "../heap/heaps.h"

#define SIZE ((size_t)256)
#define OTHER ((size_t)320)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT, other_class = OTHER / TIDE_ALIGNMENT;

enum { BLOCKS = 64, FOUR = 4, MOST = 32 /* blocks of a batch */ };

static void *blocks[BLOCKS];

static void allocate_blocks(size_t size)
{
    for (int n = 0; n < BLOCKS; n++)
        blocks[n] = allocate(size);
}

/* Four of the blocks, from first on. */
static bool put_four(int first)
{
    return tide_depot_put(0, size_class, batch_from(blocks + first, FOUR));
}

static void expect_four(const struct block *block, int first)
{
    for (int n = first; n < first + FOUR; n++, block = block->next)
        TIDE_REQUIRE(block == blocks[n]);
    TIDE_REQUIRE(!block);
}

/* ---- In and out ---------------------------------------------------------- */

IN_NEW_THREAD(depot, the_batch_put_last_is_taken_first, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(!tide_depot_take(0, size_class));
    TIDE_REQUIRE(put_four(0) && put_four(4) && stored_of(SIZE) == 2);
    expect_four(tide_depot_take(0, size_class), 4);
    TIDE_REQUIRE(put_four(8) && stored_of(SIZE) == 2);
    expect_four(tide_depot_take(0, size_class), 8);
    expect_four(tide_depot_take(0, size_class), 0);
    TIDE_REQUIRE(stored_of(SIZE) == 0 && !tide_depot_take(0, size_class));
    TIDE_REQUIRE(!tide_depot_take_stored(0, size_class));
}

IN_NEW_THREAD(depot, a_batch_can_be_one_block, NULL)
{
    allocate_blocks(TIDE_CACHE_LINE);
    TIDE_REQUIRE(tide_depot_put(0, tide_class_of(TIDE_CACHE_LINE), batch_from(blocks, 1)));
    TIDE_REQUIRE(tide_depot_put(0, tide_class_of(TIDE_CACHE_LINE), batch_from(blocks + 1, 1)));
    for (int n = 1; n >= 0; n--) {
        struct block *block = tide_depot_take(0, tide_class_of(TIDE_CACHE_LINE));

        TIDE_REQUIRE(block == blocks[n] && !block->next);
    }
}

IN_NEW_THREAD(depot, each_class_has_its_own_batches, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(put_four(0));
    TIDE_REQUIRE(stored_of(OTHER) == 0 && !tide_depot_take(0, other_class));
    TIDE_REQUIRE(!tide_depot_empty(other_class, false));
    expect_four(tide_depot_take(0, size_class), 0);
}

IN_NEW_THREAD(depot, what_a_shard_has_serves_others_after_their_own, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(tide_depot_put(1, size_class, batch_from(blocks, FOUR)));
    TIDE_REQUIRE(tide_depot_put(2, size_class, batch_from(blocks + 4, FOUR)));
    TIDE_REQUIRE(tide_depot_put(9, size_class, batch_from(blocks + 8, FOUR)));
    expect_four(tide_depot_take(2, size_class), 4);
    expect_four(tide_depot_take(2, size_class), 8);
    expect_four(tide_depot_take(3, size_class), 0);
    TIDE_REQUIRE(!tide_depot_take(1, size_class) && stored_of(SIZE) == 0);
}

/* ---- Its bound ----------------------------------------------------------- */

IN_NEW_THREAD(depot, a_class_has_so_many_bytes_for_each_heap, "TIDEPOOL_DEPOT=1K")
{
    allocate_blocks(SIZE);
    tide_depot_fit(3);
    for (int n = 0; n < 3; n++)
        TIDE_REQUIRE(put_four(n * FOUR));
    TIDE_REQUIRE(!put_four(12) && stored_of(SIZE) == 3);
    TIDE_REQUIRE(tide_depot_put(0, other_class, batch_from(blocks + 12, 3)));
    TIDE_REQUIRE(tide_depot_take(0, other_class) == blocks[12]);
    expect_four(tide_depot_take(0, size_class), 8);
    TIDE_REQUIRE(put_four(12) && !put_four(16));
    tide_depot_fit(4);
    TIDE_REQUIRE(put_four(16));
    TIDE_REQUIRE(tide_depot_empty(size_class, false));
    for (int n = 0; n < 4; n++) /* there is room again */
        TIDE_REQUIRE(put_four(n * FOUR));
    TIDE_REQUIRE(!put_four(16) && tide_depot_empty(size_class, false));
}

IN_NEW_THREAD(depot, without_room_nothing_is_put, "TIDEPOOL_DEPOT=0")
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(!tide_depot_put(0, size_class, batch_from(blocks, 1)) && stored_of(SIZE) == 0);
    TIDE_REQUIRE(!tide_depot_take(0, size_class));
}

/* ---- The sizes of batches ------------------------------------------------ */

/* Each is of so many bytes or a few less, but of 8 blocks or the most that 32 KiB have at
 * least. */
static void expect_batches(size_t bytes)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        uint32_t batch = tide_relaxed(&tide_depot_batch[c]);
        size_t size = tide_class_bytes[c], fewest = size > 4096 ? 32768 / size : 8;

        TIDE_REQUIRE(fewest <= batch && batch <= MOST);
        TIDE_REQUIRE(batch == fewest || batch * size <= bytes);
        TIDE_REQUIRE(batch == MOST || (batch + 1) * size > bytes);
    }
}

IN_NEW_THREAD(depot, a_batch_is_of_some_bytes_or_fewer_blocks, NULL)
{
    own_heap(); /* the first that is born sets them */
    expect_batches(4096);
    TIDE_REQUIRE(batch_of(TIDE_CACHE_LINE) == MOST && batch_of(SIZE) == 16);
}

IN_NEW_THREAD(depot, many_heaps_have_smaller_batches, NULL)
{
    tide_depot_fit(16);
    expect_batches(4096);
    tide_depot_fit(32);
    expect_batches(2048);
    tide_depot_fit(128);
    expect_batches(512);
    tide_depot_fit(1 << 20);
    expect_batches(0);
    tide_depot_fit(1);
    expect_batches(4096);
}

/* ---- Emptying and visiting ----------------------------------------------- */

static uint32_t seen[BLOCKS]; /* how often each block */

static void see(void *count, const struct block *block)
{
    int n = 0;

    while (blocks[n] != block)
        TIDE_REQUIRE(++n < BLOCKS);
    seen[n]++;
    ++*(int *)count;
}

/* Just the first count blocks were seen. */
static void expect_each_once(int count)
{
    for (int n = 0; n < BLOCKS; n++)
        TIDE_REQUIRE(seen[n] == (n < count));
}

static void expect_list_of_each(const struct block *list, int wanted)
{
    int count = 0;

    for (; list; list = list->next)
        see(&count, list);
    TIDE_REQUIRE(count == wanted);
    expect_each_once(wanted);
}

IN_NEW_THREAD(depot, emptying_gives_the_blocks_of_all_batches, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(!tide_depot_empty(size_class, false));
    TIDE_REQUIRE(put_four(0) && put_four(4));
    TIDE_REQUIRE(tide_depot_put(0, size_class, batch_from(blocks + 8, 1)));
    expect_list_of_each(tide_depot_empty(size_class, false), 9);
    TIDE_REQUIRE(stored_of(SIZE) == 0 && !tide_depot_take_stored(0, size_class));
    TIDE_REQUIRE(put_four(0));
    expect_four(tide_depot_take(0, size_class), 0);
}

IN_NEW_THREAD(depot, batches_that_nobody_needed_are_idle_the_oldest_first, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(put_four(0) && put_four(4));
    TIDE_REQUIRE(!tide_depot_empty(size_class, true) && stored_of(SIZE) == 2);
    expect_four(tide_depot_take(0, size_class), 4);
    TIDE_REQUIRE(put_four(4));
    expect_four(tide_depot_empty(size_class, true), 0);
    TIDE_REQUIRE(stored_of(SIZE) == 1);
    expect_four(tide_depot_empty(size_class, true), 4);
    TIDE_REQUIRE(stored_of(SIZE) == 0 && !tide_depot_empty(size_class, true));
}

IN_NEW_THREAD(depot, all_of_a_class_can_go_whether_it_is_idle_or_not, NULL)
{
    allocate_blocks(SIZE);
    TIDE_REQUIRE(put_four(0) && put_four(4));
    tide_depot_take(0, size_class);
    expect_four(tide_depot_empty(size_class, false), 0);
}

IN_NEW_THREAD(depot, every_block_is_visited_once, NULL)
{
    int count = 0;

    allocate_blocks(SIZE);
    tide_depot_visit(see, &count);
    TIDE_REQUIRE(count == 0);
    TIDE_REQUIRE(put_four(0) && put_four(4));
    TIDE_REQUIRE(tide_depot_put(0, other_class, batch_from(blocks + 8, 3)));
    tide_depot_visit(see, &count);
    TIDE_REQUIRE(count == 11);
    expect_each_once(11);
    TIDE_REQUIRE(tide_depot_empty(size_class, false) && tide_depot_empty(other_class, false));
}

/* ---- Threads ------------------------------------------------------------- */

static void take_and_put(void *shard_number)
{
    unsigned shard = (unsigned)(uintptr_t)shard_number;

    for (int round = 0; round < 5000; round++) {
        struct block *batch = tide_depot_take(shard, size_class);

        TIDE_REQUIRE(!batch || length_of(batch) == FOUR);
        while (batch && !tide_depot_put(shard, size_class, (struct batch){ batch, FOUR }))
            sched_yield(); /* refused, as all locks were busy for too long */
    }
}

IN_NEW_THREAD(depot, threads_that_take_and_put_lose_no_block, NULL)
{
    struct peer peers[3];

    allocate_blocks(SIZE);
    for (int n = 0; n < 3; n++)
        peer_start(&peers[n]);
    TIDE_REQUIRE(put_four(0) && put_four(4));
    for (int n = 0; n < 3; n++)
        peer_ask(&peers[n], take_and_put, (void *)(uintptr_t)n);
    for (int n = 0; n < 3; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    TIDE_REQUIRE(stored_of(SIZE) == 2);
    expect_list_of_each(tide_depot_empty(size_class, false), 8);
}
