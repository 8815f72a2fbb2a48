/* test_remote.c - heap/remote.h: foreign blocks, and how they get home
 *
 * In each scenario one thread owns the pools and this one, which has a heap,
 * frees; its list takes as many as usual unless said otherwise.
 */
#include "heap/remote.h"

#include <sched.h>

#include "heaps.h"

#define SIZE ((size_t)256)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

enum { POOLS = 70 }; /* more than are gathered at once */

static void *blocks[POOLS][TIDE_SLOT_BYTES / SIZE];
static struct peer owner;
static struct heap *owners_heap;

static void make_pools(void *count)
{
    owners_heap = own_heap();
    for (size_t n = 0; n < *(size_t *)count; n++)
        fill_pool(SIZE, blocks[n]);
}

/* Lets the owner fill count pools. */
static struct pool *start(size_t count)
{
    peer_start(&owner);
    peer_do(&owner, make_pools, &count);
    TIDE_REQUIRE(own_heap() != owners_heap);
    return tide_pool_of(blocks[0][0]);
}

static uint32_t foreign(void)
{
    return own_heap()->foreign[size_class];
}

static void *first_of_list(void)
{
    return own_heap()->list[size_class].freed;
}

static uint32_t allocated(const struct pool *pool)
{
    return tide_relaxed(&pool->left) + tide_relaxed(&pool->held);
}

static void drain(void *unused)
{
    (void)unused;
    tide_heap_drain_inbox(owners_heap);
    tide_heap_check(owners_heap);
}

#define SCENARIO(name, setting)                                                               \
    Test(remote, name)                                                                        \
    {                                                                                         \
        assert_ended_well(run_program(#name, setting, NULL));                                 \
    }                                                                                         \
    PROGRAM(name)

SCENARIO(a_foreign_block_is_the_next_that_malloc_gives, NULL)
{
    struct pool *pool = start(1);
    uint32_t before = allocated(pool);

    tide_free(blocks[0][0]);
    tide_free(blocks[0][1]);
    TIDE_REQUIRE(foreign() == 2 && first_of_list() == blocks[0][1]);
    TIDE_REQUIRE(allocated(pool) == before && tide_pool_returned_count(pool) == 0);
    TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
    tide_heap_check(own_heap());
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][1] && allocate(SIZE) == blocks[0][0]);
    tide_heap_check(own_heap());
}

SCENARIO(foreign_blocks_are_counted_by_class, NULL)
{
    start(1);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(foreign() == 1 && own_heap()->foreign[size_class + 1] == 0);
}

SCENARIO(blocks_that_circulate_never_go_home, "TIDEPOOL_STASH=1K")
{
    struct pool *pool = start(1);

    for (uint32_t n = 0; n < 100; n++) {
        tide_free(blocks[0][n % 2]);
        TIDE_REQUIRE(allocate(SIZE) == blocks[0][n % 2]);
    }
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 0 && foreign() <= 1024 / SIZE);
}

SCENARIO(the_rest_of_the_list_comes_after_foreign_blocks, NULL)
{
    void *own[2], *next;

    start(1);
    own[0] = allocate(SIZE);
    next = first_of_list();
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(own_heap()->rest[size_class] == next);
    tide_heap_check(own_heap());
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][0]);
    own[1] = allocate(SIZE);
    TIDE_REQUIRE(own[1] == next && !own_heap()->rest[size_class] && foreign() == 0);
    tide_free(blocks[0][1]);
    tide_free(own[0]);
    tide_free(own[1]);
    tide_heap_give_back(own_heap());
    tide_heap_check(own_heap());
    TIDE_REQUIRE(!first_of_list() && !own_heap()->rest[size_class]);
}

/* Blocks that share cache lines with the owner's. */
enum { SMALL = TIDE_CACHE_LINE / 2, SMALL_CLASS = SMALL / TIDE_ALIGNMENT, SMALL_BLOCKS = 100 };

static void *small[SMALL_BLOCKS];

static void make_small(void *unused)
{
    (void)unused;
    owners_heap = own_heap();
    for (uint32_t n = 0; n < SMALL_BLOCKS; n++)
        small[n] = allocate(SMALL);
}

static struct pool *start_small(void)
{
    peer_start(&owner);
    peer_do(&owner, make_small, NULL);
    TIDE_REQUIRE(own_heap() != owners_heap);
    return tide_pool_of(small[0]);
}

SCENARIO(foreign_blocks_of_part_of_a_cache_line_arent_given_again, NULL)
{
    struct pool *pool = start_small();

    tide_free(small[0]);
    TIDE_REQUIRE(own_heap()->outbox == small[0] && own_heap()->outbox_bytes == SMALL);
    TIDE_REQUIRE(own_heap()->foreign[SMALL_CLASS] == 0);
    TIDE_REQUIRE(tide_pool_of(allocate(SMALL)) != pool);
}

SCENARIO(a_full_outbox_goes_home, "TIDEPOOL_STASH=1K")
{
    struct pool *pool = start_small();
    uint32_t most = 1024 / SMALL;

    for (uint32_t n = 0; n < most; n++)
        tide_free(small[n]);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 0);
    tide_free(small[most]);
    TIDE_REQUIRE(!own_heap()->outbox && own_heap()->outbox_bytes == 0);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == most + 1);
}

static void free_small(void *unused)
{
    (void)unused;
    tide_free(small[0]);
    TIDE_REQUIRE(own_heap()->outbox == small[0]);
}

SCENARIO(the_outbox_of_a_thread_that_ends_goes_home, NULL)
{
    struct pool *pool = start_small();

    run_thread(free_small, NULL);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 1);
}

SCENARIO(too_many_of_which_none_is_taken_go_home, "TIDEPOOL_STASH=1K")
{
    struct pool *pool = start(1);
    uint32_t most = 1024 / SIZE;

    for (uint32_t n = 0; n < most; n++)
        tide_free(blocks[0][n]);
    TIDE_REQUIRE(foreign() == most && tide_pool_returned_count(pool) == 0);
    tide_free(blocks[0][most]);
    TIDE_REQUIRE(foreign() == 0 && !first_of_list());
    TIDE_REQUIRE(tide_pool_returned_count(pool) == most + 1);
    TIDE_REQUIRE(tide_relaxed(&owners_heap->inbox) == pool);
    peer_do(&owner, drain, NULL);
    TIDE_REQUIRE(tide_pool_freed_count(pool) == most + 1 && tide_pool_returned_count(pool) == 0);
}

SCENARIO(of_too_many_the_older_half_goes_home, "TIDEPOOL_STASH=1K")
{
    struct pool *pool = start(1);
    uint32_t most = 1024 / SIZE;

    for (uint32_t n = 0; n < most; n++)
        tide_free(blocks[0][n]);
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][most - 1]);
    tide_free(blocks[0][most]);
    TIDE_REQUIRE(foreign() == most / 2 && first_of_list() == blocks[0][most]);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == most - most / 2);
    tide_heap_check(own_heap());
}

SCENARIO(without_a_stash_each_block_goes_home, "TIDEPOOL_STASH=0")
{
    struct pool *pool = start(1);

    for (uint32_t n = 0; n < 3; n++) {
        tide_free(blocks[0][n]);
        TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == n + 1);
    }
    TIDE_REQUIRE(tide_relaxed(&owners_heap->inbox) == pool && !pool->next_inbox);
}

SCENARIO(a_thread_without_a_heap_sends_blocks_home, NULL)
{
    struct pool *pool = start(1);

    tide_heap_free_remote(NULL, pool, blocks[0][0], "free");
    TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == 1);
}

SCENARIO(foreign_blocks_can_be_sent_home_any_time, NULL)
{
    struct pool *pool = start(1);

    tide_heap_send_foreign(own_heap(), size_class, 0);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 0);
    for (uint32_t n = 0; n < 5; n++)
        tide_free(blocks[0][n]);
    tide_heap_send_foreign(own_heap(), size_class, 0);
    TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == 5);
}

/* Sends the first rounds blocks of each pool home, those of all pools mixed. */
static void send_mixed(uint32_t rounds)
{
    struct block *list = NULL;

    for (uint32_t n = 0; n < rounds; n++)
        for (int at = 0; at < POOLS; at++) {
            struct block *block = blocks[at][n];

            block->next = list;
            list = block;
        }
    tide_heap_send_home(list);
}

SCENARIO(blocks_of_many_pools_each_find_theirs, NULL)
{
    uint32_t capacity = capacity_of(SIZE), queued = 0;

    start(POOLS);
    send_mixed(capacity - 1);
    for (int at = 0; at < POOLS; at++)
        TIDE_REQUIRE(tide_pool_returned_count(tide_pool_of(blocks[at][0])) == capacity - 1);
    for (struct pool *pool = tide_relaxed(&owners_heap->inbox); pool; pool = pool->next_inbox)
        queued++;
    TIDE_REQUIRE(queued == POOLS);
    peer_do(&owner, drain, NULL);
    for (int at = 0; at < POOLS; at++) {
        struct pool *pool = tide_pool_of(blocks[at][0]);

        TIDE_REQUIRE(allocated(pool) == 1 && tide_pool_freed_count(pool) == capacity - 1);
        tide_pool_check(pool);
    }
}

SCENARIO(sending_nothing_home_is_nothing, NULL)
{
    start(1);
    tide_heap_send_home(NULL);
    TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
}

SCENARIO(a_pool_is_queued_again_after_it_was_drained, "TIDEPOOL_STASH=0")
{
    struct pool *pool = start(2);

    for (uint32_t n = 0; n < capacity_of(SIZE); n++) {
        tide_free(blocks[0][n]);
        TIDE_REQUIRE(tide_relaxed(&owners_heap->inbox) == pool);
        if (n % 3 == 0) {
            peer_do(&owner, drain, NULL);
            TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
        }
    }
    peer_do(&owner, drain, NULL);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && owners_heap->stock == pool);
}

SCENARIO(blocks_of_an_orphan_are_collected_by_who_frees_them, "TIDEPOOL_STASH=0")
{
    struct pool *pool = start(1);

    peer_end(&owner);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(tide_relaxed(&owners_heap->state) == HEAP_ORPHAN);
    TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 0 && tide_pool_freed_count(pool) == 1);
    tide_heap_check(owners_heap);
}

/* ---- Threads ------------------------------------------------------------ */

enum { MESSAGES = 20000, RING = 512 };

static void *_Atomic ring[RING];

static void produce(void *unused)
{
    (void)unused;
    for (uint32_t n = 0; n < MESSAGES; n++) {
        uint32_t *message = allocate(SIZE);

        message[0] = message[SIZE / sizeof *message - 1] = n;
        while (atomic_load(&ring[n % RING]))
            sched_yield();
        atomic_store(&ring[n % RING], message);
    }
}

static void consume(void)
{
    for (uint32_t n = 0; n < MESSAGES; n++) {
        uint32_t *message;

        while (!(message = atomic_exchange(&ring[n % RING], NULL)))
            sched_yield();
        TIDE_REQUIRE(message[0] == n && message[SIZE / sizeof *message - 1] == n);
        tide_free(message);
    }
}

SCENARIO(messages_between_threads_are_reused_and_none_is_lost, NULL)
{
    size_t pools = pools_of_size(SIZE), in_flight = RING + 1 + 32768 / SIZE;

    peer_start(&owner);
    peer_ask(&owner, produce, NULL);
    consume();
    peer_wait(&owner);
    TIDE_REQUIRE(pools_of_size(SIZE) <= pools + 4 * (1 + in_flight / capacity_of(SIZE)));
    tide_api_check();
    tide_heap_give_back(own_heap());
    peer_end(&owner);
    tide_heap_give_back_orphans();
    TIDE_REQUIRE(pools_of_size(SIZE) == pools);
    tide_api_check();
}
