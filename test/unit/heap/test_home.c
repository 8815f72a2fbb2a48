/* test_home.c - heap/home.h: how foreign blocks go home */
#include "remotes.h"

/* ---- The outbox ---------------------------------------------------------- */

SCENARIO(home, foreign_blocks_of_part_of_a_cache_line_arent_given_again, NULL)
{
    struct pool *pool = start_small();

    tide_free(small[0][0]);
    tide_free(small[0][1]);
    TIDE_REQUIRE(count_outbox() == 2 && outbox()->bytes == 2 * SMALL && small_returned() == 0);
    TIDE_REQUIRE(own_heap()->foreign[SMALL_CLASS] == 0 && !list_of(own_heap(), SMALL_CLASS));
    TIDE_REQUIRE(!own_heap()->surplus[SMALL_CLASS].first);
    TIDE_REQUIRE(tide_pool_of(allocate(SMALL)) != pool);
}

SCENARIO(home, a_whole_cache_line_is_given_again, NULL)
{
    struct pool *pool = start_small();

    tide_free(small[0][0]);
    TIDE_REQUIRE(allocate(SMALL) != small[0][0] && tide_pool_returned_count(pool) == 0);
    start(1);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(count_outbox() == 1 && allocate(SIZE) == blocks[0][0]);
}

SCENARIO(home, an_outbox_has_a_chain_for_each_of_so_many_pools, NULL)
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

SCENARIO(home, a_full_outbox_goes_home, NULL)
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

SCENARIO(home, small_blocks_are_allocated_again_by_their_owner, NULL)
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

SCENARIO(home, the_outbox_of_a_thread_that_ends_goes_home, NULL)
{
    start_small();
    run_thread(free_two_small, NULL);
    TIDE_REQUIRE(small_returned() == 2);
}

SCENARIO(home, a_thread_without_a_heap_sends_blocks_home, NULL)
{
    struct pool *pool = start(1);

    tide_heap_send_block_home(blocks[0][0]);
    TIDE_REQUIRE(!first_of_list() && tide_pool_returned_count(pool) == 1);
}

/* ---- Going home ---------------------------------------------------------- */

SCENARIO(home, all_foreign_blocks_can_be_sent_home_any_time, NULL)
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
    tide_idle_give_back_own();
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

SCENARIO(home, blocks_of_many_pools_each_find_theirs, NULL)
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

SCENARIO(home, sending_nothing_home_is_nothing, NULL)
{
    start(1);
    tide_heap_send_home(NULL);
    TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
}

SCENARIO(home, a_pool_is_queued_again_after_it_was_drained, NULL)
{
    struct pool *pool = start(2);

    for (uint32_t n = 0; n < capacity_of(SIZE); n++) {
        free_home(blocks[0][n]);
        TIDE_REQUIRE(tide_relaxed(&owners_heap->inbox) == pool);
        if (n % 3 == 0) {
            peer_do(&owner, drain, NULL);
            TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
        }
    }
    peer_do(&owner, drain, NULL);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && owners_heap->stock == pool);
}

SCENARIO(home, blocks_of_an_orphan_are_collected_by_who_frees_them, NULL)
{
    struct pool *pool = start(1);

    peer_end(&owner);
    free_home(blocks[0][0]);
    TIDE_REQUIRE(tide_relaxed(&owners_heap->state) == HEAP_ORPHAN);
    TIDE_REQUIRE(!tide_relaxed(&owners_heap->inbox));
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 0 && tide_pool_freed_count(pool) == 1);
    tide_heap_check(owners_heap);
}
