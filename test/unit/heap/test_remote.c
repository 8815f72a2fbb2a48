/* test_remote.c - heap/remote.h: foreign blocks in malloc's list, the surplus and the
 * depot; how they go home is in test_home.c */
#include <sched.h>

#include "remotes.h"

/* ---- Malloc's list ------------------------------------------------------- */

SCENARIO(remote, a_foreign_block_is_the_next_that_malloc_gives, NULL)
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

SCENARIO(remote, foreign_blocks_are_counted_by_class, NULL)
{
    start(1);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(foreign() == 1 && own_heap()->foreign[size_class + 1] == 0);
}

SCENARIO(remote, blocks_that_circulate_never_go_home, NULL)
{
    start(1);
    set_batch(SIZE, 1024 / SIZE);
    for (uint32_t n = 0; n < 100; n++) {
        tide_free(blocks[0][n % 2]);
        TIDE_REQUIRE(allocate(SIZE) == blocks[0][n % 2]);
    }
    TIDE_REQUIRE(returned_in_all() == 0 && stored_of(SIZE) == 0 && count_outbox() == 0);
    TIDE_REQUIRE(foreign() <= batch_of(SIZE));
}

SCENARIO(remote, own_blocks_in_the_list_come_after_foreign_ones, NULL)
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
    tide_idle_give_back_own();
    tide_heap_check(own_heap());
    TIDE_REQUIRE(!first_of_list() && foreign() == 0 && returned_in_all() == 0);
}

/* ---- The surplus and the depot ------------------------------------------- */

SCENARIO(remote, more_than_a_batch_waits_as_the_surplus, NULL)
{
    uint32_t batch;

    start(2);
    set_batch(SIZE, 1024 / SIZE);
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

SCENARIO(remote, once_the_surplus_is_taken_the_list_has_room_again, NULL)
{
    uint32_t batch;

    start(2);
    set_batch(SIZE, 1024 / SIZE);
    batch = batch_of(SIZE);
    free_row(0, batch + 1);
    for (uint32_t n = 0; n <= batch; n++)
        allocate(SIZE);
    free_row(0, batch - 1);
    TIDE_REQUIRE(!surplus()->first && foreign() == batch);
    expect_row(first_of_list(), 0, batch - 1);
}

SCENARIO(remote, a_full_surplus_goes_to_the_depot, NULL)
{
    uint32_t batch;

    start(2);
    set_batch(SIZE, 1024 / SIZE);
    batch = batch_of(SIZE);
    free_row(0, 2 * batch - 1);
    TIDE_REQUIRE(surplus()->count == batch - 1 && stored_of(SIZE) == 0);
    free_row(2 * batch - 1, 2 * batch);
    TIDE_REQUIRE(surplus()->count == 0 && !surplus()->first && stored_of(SIZE) == 1);
    free_row(2 * batch, 3 * batch);
    TIDE_REQUIRE(surplus()->count == 0 && stored_of(SIZE) == 2);
    TIDE_REQUIRE(returned_in_all() == 0 && count_outbox() == 0);
    expect_row(tide_depot_take(0, size_class), 2 * batch, 3 * batch);
    expect_row(tide_depot_take(0, size_class), batch, 2 * batch);
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

SCENARIO(remote, another_threads_malloc_gives_the_depots_blocks, NULL)
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

SCENARIO(remote, the_owner_itself_can_get_blocks_back_from_the_depot, NULL)
{
    start(3);
    free_row(0, 2 * batch_of(SIZE));
    peer_do(&owner, take_back, NULL);
    for (int n = 0; n < 3; n++)
        tide_pool_check(tide_pool_of(blocks[n][0]));
}

SCENARIO(remote, what_the_depot_has_no_room_for_goes_home, "TIDEPOOL_DEPOT=4K")
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

SCENARIO(remote, the_depots_blocks_can_be_sent_home, NULL)
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

SCENARIO(remote, the_depots_idle_blocks_can_be_sent_home, NULL)
{
    uint32_t batch;

    start(3);
    set_batch(SIZE, 1024 / SIZE);
    batch = batch_of(SIZE);
    free_row(0, 3 * batch);
    tide_heap_send_home(tide_depot_take(0, size_class));
    TIDE_REQUIRE(returned_in_all() == batch && stored_of(SIZE) == 1);
    TIDE_REQUIRE(tide_heap_empty_depot(true) == 1 && returned_in_all() == batch);
    TIDE_REQUIRE(tide_heap_empty_depot(true) == 0 && returned_in_all() == 2 * batch);
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

SCENARIO(remote, messages_between_threads_are_reused_and_none_is_lost, NULL)
{
    size_t pools = pools_of_size(SIZE), in_flight;

    peer_start(&owner);
    peer_ask(&owner, produce, NULL);
    consume();
    peer_wait(&owner);
    /* A ring, and what two heaps' lists, outboxes and the depot hold. */
    in_flight = RING + 1 + 4 * batch_of(SIZE) + (2 * 16384 + 2 * 8192) / SIZE;
    TIDE_REQUIRE(pools_of_size(SIZE) <= pools + 4 * (1 + in_flight / capacity_of(SIZE)));
    tide_check_all();
    tide_idle_give_back_own();
    peer_end(&owner);
    tide_purge();
    TIDE_REQUIRE(pools_of_size(SIZE) == pools);
    tide_check_all();
}
