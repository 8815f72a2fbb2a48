/* test_remote.c - heap/remote.h: foreign blocks, where they wait, and how they get
 * home
 *
 * In each scenario one thread owns the pools and this one, which has a heap,
 * frees; so there are two heaps unless it says otherwise.
 */
#include "heap/remote.h"

#include <sched.h>

#include "heaps.h"

#define SIZE ((size_t)256)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

enum { POOLS = 70, CAPACITY = TIDE_SLOT_BYTES / SIZE }; /* more than are gathered at once */

static void *blocks[POOLS][CAPACITY];
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

/* The blocks of all pools in one row. */
static void *nth(uint32_t n)
{
    return blocks[n / CAPACITY][n % CAPACITY];
}

static void free_row(uint32_t from, uint32_t to)
{
    for (; from < to; from++)
        tide_free(nth(from));
}

/* Those given are a list's, newest first. */
static void expect_row(const struct block *block, uint32_t from, uint32_t to)
{
    for (; to > from; block = block->next)
        TIDE_REQUIRE(block == nth(--to));
    TIDE_REQUIRE(!block);
}

static uint32_t returned_in_all(void)
{
    uint32_t count = 0;

    for (int n = 0; n < POOLS; n++)
        count += blocks[n][0] ? tide_pool_returned_count(tide_pool_of(blocks[n][0])) : 0;
    return count;
}

static uint32_t foreign(void)
{
    return own_heap()->foreign[size_class];
}

static const struct batch *surplus(void)
{
    return &own_heap()->surplus[size_class];
}

static void *first_of_list(void)
{
    return list_of(own_heap(), size_class);
}

static const struct outbox *outbox(void)
{
    return &own_heap()->outbox;
}

/* Blocks in the outbox; its chains are what they should be. */
static uint32_t count_outbox(void)
{
    uint32_t count = 0;
    size_t bytes = 0;

    for (const struct chain *chain = outbox()->chains; chain < outbox()->chains + OUTBOX_CHAINS;
         chain++) {
        const struct block *last = NULL;

        TIDE_REQUIRE(length_of(chain->first) == chain->count && !chain->pool == !chain->first);
        for (const struct block *block = chain->first; block; last = block, block = block->next)
            TIDE_REQUIRE(tide_pool_of(block) == chain->pool);
        TIDE_REQUIRE(chain->last == last);
        count += chain->count;
        bytes += chain->pool ? chain->count * chain->pool->block_bytes : 0;
    }
    TIDE_REQUIRE(outbox()->bytes == bytes);
    return count;
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

/* ---- Malloc's list ------------------------------------------------------- */

SCENARIO(a_foreign_block_is_the_next_that_malloc_gives, NULL)
{
    struct pool *pool = start(1);
    uint32_t before = allocated_in(pool);

    tide_free(blocks[0][0]);
    tide_free(blocks[0][1]);
    TIDE_REQUIRE(foreign() == 2 && first_of_list() == blocks[0][1]);
    TIDE_REQUIRE(allocated_in(pool) == before && tide_pool_returned_count(pool) == 0);
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
    start(1);
    for (uint32_t n = 0; n < 100; n++) {
        tide_free(blocks[0][n % 2]);
        TIDE_REQUIRE(allocate(SIZE) == blocks[0][n % 2]);
    }
    TIDE_REQUIRE(returned_in_all() == 0 && stored_of(SIZE) == 0 && count_outbox() == 0);
    TIDE_REQUIRE(foreign() <= batch_of(SIZE));
}

SCENARIO(own_blocks_in_the_list_come_after_foreign_ones, NULL)
{
    void *own, *next;

    start(1);
    own = allocate(SIZE);
    next = first_of_list();
    tide_free(blocks[0][0]);
    tide_heap_check(own_heap());
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][0] && first_of_list() == next);
    tide_free(blocks[0][1]);
    tide_free(own);
    TIDE_REQUIRE(allocate(SIZE) == own && allocate(SIZE) == blocks[0][1]);
    tide_heap_give_back(own_heap());
    tide_heap_check(own_heap());
    TIDE_REQUIRE(!first_of_list() && foreign() == 0 && returned_in_all() == 0);
}

/* ---- The surplus and the depot ------------------------------------------- */

SCENARIO(more_than_a_batch_waits_as_the_surplus, "TIDEPOOL_STASH=1K")
{
    uint32_t batch;

    start(2);
    batch = batch_of(SIZE);
    TIDE_REQUIRE(batch == 1024 / SIZE);
    free_row(0, batch + 2);
    TIDE_REQUIRE(foreign() == batch && surplus()->count == 2);
    expect_row(surplus()->first, batch, batch + 2);
    TIDE_REQUIRE(stored_of(SIZE) == 0 && returned_in_all() == 0);
    tide_heap_check(own_heap());
    for (uint32_t n = batch; n-- > 0;)
        TIDE_REQUIRE(allocate(SIZE) == nth(n));
    TIDE_REQUIRE(allocate(SIZE) == nth(batch + 1) && allocate(SIZE) == nth(batch));
    TIDE_REQUIRE(!surplus()->first && surplus()->count == 0 && !own_heap()->current[size_class]);
    tide_heap_check(own_heap());
}

SCENARIO(once_the_surplus_is_taken_the_list_has_room_again, "TIDEPOOL_STASH=1K")
{
    uint32_t batch;

    start(2);
    batch = batch_of(SIZE);
    free_row(0, batch + 1);
    for (uint32_t n = 0; n <= batch; n++)
        allocate(SIZE);
    free_row(0, batch - 1);
    TIDE_REQUIRE(!surplus()->first && foreign() == batch);
    expect_row(first_of_list(), 0, batch - 1);
}

SCENARIO(a_full_surplus_goes_to_the_depot, "TIDEPOOL_STASH=1K")
{
    uint32_t batch;

    start(2);
    batch = batch_of(SIZE);
    free_row(0, 2 * batch - 1);
    TIDE_REQUIRE(surplus()->count == batch - 1 && stored_of(SIZE) == 0);
    free_row(2 * batch - 1, 2 * batch);
    TIDE_REQUIRE(surplus()->count == 0 && !surplus()->first && stored_of(SIZE) == 1);
    free_row(2 * batch, 3 * batch);
    TIDE_REQUIRE(surplus()->count == 0 && stored_of(SIZE) == 2);
    TIDE_REQUIRE(returned_in_all() == 0 && count_outbox() == 0);
    expect_row(tide_depot_take(size_class), 2 * batch, 3 * batch);
    expect_row(tide_depot_take(size_class), batch, 2 * batch);
    expect_row(first_of_list(), 0, batch);
}

/* As a third thread's job. */
static void take_from_the_depot(void *unused)
{
    uint32_t batch = batch_of(SIZE);
    struct heap *heap = own_heap();

    (void)unused;
    for (uint32_t n = 2 * batch; n-- > batch;)
        TIDE_REQUIRE(allocate(SIZE) == nth(n));
    TIDE_REQUIRE(!heap->current[size_class] && !list_of(heap, size_class));
    TIDE_REQUIRE(stored_of(SIZE) == 0 && heap->foreign[size_class] > 0);
    TIDE_REQUIRE(heap != owners_heap);
    tide_heap_check(heap);
}

SCENARIO(another_threads_malloc_gives_the_depots_blocks, NULL)
{
    struct pool *first = start(3);
    uint32_t before = allocated_in(first);
    size_t pools = pools_of_size(SIZE);

    free_row(0, 2 * batch_of(SIZE));
    TIDE_REQUIRE(stored_of(SIZE) == 1);
    run_thread(take_from_the_depot, NULL);
    TIDE_REQUIRE(pools_of_size(SIZE) == pools);
    TIDE_REQUIRE(allocated_in(first) == before && returned_in_all() == 0);
}

static void take_back(void *unused)
{
    uint32_t batch = batch_of(SIZE);

    (void)unused;
    for (uint32_t n = 2 * batch; n-- > batch;)
        TIDE_REQUIRE(allocate(SIZE) == nth(n));
    tide_heap_check(owners_heap);
    free_row(batch, 2 * batch); /* they are its own */
    TIDE_REQUIRE(!owners_heap->surplus[size_class].first);
    TIDE_REQUIRE(stored_of(SIZE) == 0 && returned_in_all() == 0);
    tide_heap_check(owners_heap);
}

SCENARIO(the_owner_itself_can_get_blocks_back_from_the_depot, NULL)
{
    start(3);
    free_row(0, 2 * batch_of(SIZE));
    peer_do(&owner, take_back, NULL);
    for (int n = 0; n < 3; n++)
        tide_pool_check(tide_pool_of(blocks[n][0]));
}

SCENARIO(what_the_depot_has_no_room_for_goes_home, "TIDEPOOL_DEPOT=4K")
{
    uint32_t batch, kept;

    start(POOLS);
    batch = batch_of(SIZE);
    TIDE_REQUIRE(batch * SIZE == 4096 && tide_heap_count() == 2);
    kept = 3 * batch; /* in the list and, for two heaps, in the depot */
    free_row(0, kept);
    TIDE_REQUIRE(stored_of(SIZE) == 2 && count_outbox() == 0);
    free_row(kept, kept + batch - 1);
    TIDE_REQUIRE(surplus()->count == batch - 1 && count_outbox() == 0);
    for (uint32_t freed = kept + batch - 1; freed < 10 * batch; freed++) {
        free_row(freed, freed + 1);
        TIDE_REQUIRE(count_outbox() + returned_in_all() + surplus()->count + kept == freed + 1);
        TIDE_REQUIRE(stored_of(SIZE) == 2 && surplus()->count < batch);
    }
    TIDE_REQUIRE(returned_in_all() > 0);
    tide_heap_check(own_heap());
}

SCENARIO(the_depots_blocks_can_be_sent_home, NULL)
{
    uint32_t batch;

    start(3);
    batch = batch_of(SIZE);
    TIDE_REQUIRE(tide_heap_empty_depot(false) == 0);
    free_row(0, 2 * batch);
    TIDE_REQUIRE(tide_heap_empty_depot(false) == 0);
    TIDE_REQUIRE(returned_in_all() == batch && stored_of(SIZE) == 0);
    peer_do(&owner, drain, NULL);
    TIDE_REQUIRE(returned_in_all() == 0);
}

SCENARIO(the_depots_idle_blocks_can_be_sent_home, "TIDEPOOL_STASH=1K")
{
    uint32_t batch;

    start(3);
    batch = batch_of(SIZE);
    free_row(0, 3 * batch);
    tide_heap_send_home(tide_depot_take(size_class));
    TIDE_REQUIRE(returned_in_all() == batch && stored_of(SIZE) == 1);
    TIDE_REQUIRE(tide_heap_empty_depot(true) == 1 && returned_in_all() == batch);
    TIDE_REQUIRE(tide_heap_empty_depot(true) == 0 && returned_in_all() == 2 * batch);
}

/* ---- The outbox ---------------------------------------------------------- */

/* Blocks that share cache lines with the owner's: of as many pools as make two
 * of them meet in an outbox. */
enum {
    SMALL = TIDE_CACHE_LINE / 2,
    SMALL_CLASS = SMALL / TIDE_ALIGNMENT,
    SMALL_CAPACITY = TIDE_SLOT_BYTES / SMALL,
    SMALL_POOLS = OUTBOX_CHAINS + 1,
};

static void *small[SMALL_POOLS][SMALL_CAPACITY];

static void make_small(void *unused)
{
    (void)unused;
    owners_heap = own_heap();
    for (int n = 0; n < SMALL_POOLS; n++)
        fill_pool(SMALL, small[n]);
}

static struct pool *start_small(void)
{
    peer_start(&owner);
    peer_do(&owner, make_small, NULL);
    TIDE_REQUIRE(own_heap() != owners_heap);
    return tide_pool_of(small[0][0]);
}

static uint32_t small_returned(void)
{
    uint32_t count = 0;

    for (int n = 0; n < SMALL_POOLS; n++)
        count += tide_pool_returned_count(tide_pool_of(small[n][0]));
    return count;
}

SCENARIO(foreign_blocks_of_part_of_a_cache_line_arent_given_again, NULL)
{
    struct pool *pool = start_small();

    tide_free(small[0][0]);
    tide_free(small[0][1]);
    TIDE_REQUIRE(count_outbox() == 2 && outbox()->bytes == 2 * SMALL && small_returned() == 0);
    TIDE_REQUIRE(own_heap()->foreign[SMALL_CLASS] == 0 && !list_of(own_heap(), SMALL_CLASS));
    TIDE_REQUIRE(!own_heap()->surplus[SMALL_CLASS].first);
    TIDE_REQUIRE(tide_pool_of(allocate(SMALL)) != pool);
}

SCENARIO(a_whole_cache_line_is_given_again, NULL)
{
    struct pool *pool = start_small();

    tide_free(small[0][0]);
    TIDE_REQUIRE(allocate(SMALL) != small[0][0] && tide_pool_returned_count(pool) == 0);
    start(1);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(count_outbox() == 1 && allocate(SIZE) == blocks[0][0]);
}

SCENARIO(an_outbox_has_a_chain_for_each_of_so_many_pools, NULL)
{
    uint32_t conflicts = 0;

    start_small();
    for (int n = 0; n < SMALL_POOLS; n++) {
        tide_free(small[n][0]);
        tide_free(small[n][1]);
        TIDE_REQUIRE(count_outbox() + small_returned() == (uint32_t)n * 2 + 2);
    }
    for (int n = 0; n < SMALL_POOLS; n++) { /* a chain goes home whole */
        uint32_t returned = tide_pool_returned_count(tide_pool_of(small[n][0]));

        TIDE_REQUIRE(returned == 0 || returned == 2);
        conflicts += returned == 2;
    }
    TIDE_REQUIRE(1 <= conflicts && conflicts < SMALL_POOLS / 2);
    TIDE_REQUIRE(tide_pool_returned_count(tide_pool_of(small[SMALL_POOLS - 1][0])) == 0);
}

static void free_nth_small(uint32_t n)
{
    tide_free(small[n / SMALL_CAPACITY][n % SMALL_CAPACITY]);
}

SCENARIO(a_full_outbox_goes_home, NULL)
{
    uint32_t most = 16384 / SMALL, n;

    start_small();
    for (n = 0; n < most; n++)
        free_nth_small(n);
    TIDE_REQUIRE(count_outbox() + small_returned() == most);
    TIDE_REQUIRE(most > SMALL_CAPACITY || small_returned() == 0); /* one pool's */
    while (outbox()->bytes > 0) {
        TIDE_REQUIRE(outbox()->bytes <= 16384);
        free_nth_small(n++);
    }
    TIDE_REQUIRE(count_outbox() == 0 && small_returned() == n);
}

SCENARIO(small_blocks_are_allocated_again_by_their_owner, NULL)
{
    struct pool *pool = start_small();

    for (int n = 0; n < SMALL_CAPACITY; n++)
        tide_free(small[0][n]);
    tide_heap_send_all_foreign(own_heap());
    peer_do(&owner, drain, NULL);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY);
}

static void free_two_small(void *unused)
{
    (void)unused;
    tide_free(small[0][0]);
    tide_free(small[1][0]);
    TIDE_REQUIRE(count_outbox() + small_returned() == 2);
}

SCENARIO(the_outbox_of_a_thread_that_ends_goes_home, NULL)
{
    start_small();
    run_thread(free_two_small, NULL);
    TIDE_REQUIRE(small_returned() == 2);
}

/* ---- Freed twice --------------------------------------------------------- */

static void *twice;

static void free_again(void)
{
    tide_free(twice);
}

static void expect_report(size_t bytes)
{
    assert_aborted(run_apart(free_again), "free(%p): already free: a block of %zu bytes", twice,
                   bytes);
}

Test(remote, the_last_foreign_block_of_the_list_is_not_freed_again)
{
    start(1);
    tide_free(twice = blocks[0][0]);
    cr_assert_eq(first_of_list(), twice);
    expect_report(SIZE);
}

Test(remote, the_last_block_of_the_surplus_is_not_freed_again)
{
    start(3);
    free_row(0, batch_of(SIZE));
    tide_free(twice = nth(batch_of(SIZE)));
    cr_assert_eq(surplus()->first, twice);
    expect_report(SIZE);
}

Test(remote, the_last_block_of_an_outbox_chain_is_not_freed_again)
{
    start_small();
    tide_free(twice = small[0][0]);
    cr_assert_eq(count_outbox(), 1);
    expect_report(SMALL);
}

/* ---- At once ------------------------------------------------------------- */

SCENARIO(without_a_stash_each_block_goes_home, "TIDEPOOL_STASH=0")
{
    struct pool *pool = start(1);

    for (uint32_t n = 0; n < 3; n++) {
        tide_free(blocks[0][n]);
        TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == n + 1);
    }
    TIDE_REQUIRE(tide_relaxed(&owners_heap->inbox) == pool && !pool->next_inbox);
}

SCENARIO(without_a_stash_each_small_block_goes_home, "TIDEPOOL_STASH=0")
{
    struct pool *pool = start_small();

    for (uint32_t n = 0; n < 3; n++) {
        tide_free(small[0][n]);
        TIDE_REQUIRE(count_outbox() == 0 && tide_pool_returned_count(pool) == n + 1);
    }
}

SCENARIO(a_thread_without_a_heap_sends_blocks_home, NULL)
{
    struct pool *pool = start(1);

    tide_heap_send_block_home(blocks[0][0]);
    TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == 1);
}

/* ---- Going home ---------------------------------------------------------- */

SCENARIO(all_foreign_blocks_can_be_sent_home_any_time, NULL)
{
    uint32_t batch, own;
    void *mine;

    start(3);
    batch = batch_of(SIZE);
    mine = allocate(SIZE);
    own = length_of(first_of_list());
    tide_heap_send_all_foreign(own_heap());
    TIDE_REQUIRE(length_of(first_of_list()) == own && returned_in_all() == 0);
    free_row(0, 3);
    tide_free(mine);
    free_row(3, batch + 5);
    TIDE_REQUIRE(length_of(first_of_list()) == own + 1 + batch && surplus()->count == 5);
    tide_heap_send_all_foreign(own_heap());
    TIDE_REQUIRE(length_of(first_of_list()) == own + 1 && first_of_list() == mine);
    TIDE_REQUIRE(foreign() == 0 && !surplus()->first && surplus()->count == 0);
    TIDE_REQUIRE(count_outbox() == 0 && returned_in_all() == batch + 5);
    tide_heap_check(own_heap());
    tide_heap_give_back(own_heap());
    TIDE_REQUIRE(!first_of_list());
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

        TIDE_REQUIRE(allocated_in(pool) == 1 && tide_pool_freed_count(pool) == capacity - 1);
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
    size_t pools = pools_of_size(SIZE), in_flight;

    peer_start(&owner);
    peer_ask(&owner, produce, NULL);
    consume();
    peer_wait(&owner);
    /* A ring, and what two heaps' lists, outboxes and the depot hold. */
    in_flight = RING + 1 + 4 * batch_of(SIZE) + (2 * 16384 + 2 * 8192) / SIZE;
    TIDE_REQUIRE(pools_of_size(SIZE) <= pools + 4 * (1 + in_flight / capacity_of(SIZE)));
    tide_api_check();
    tide_heap_give_back(own_heap());
    peer_end(&owner);
    tide_heap_give_back_unowned();
    TIDE_REQUIRE(pools_of_size(SIZE) == pools);
    tide_api_check();
}
