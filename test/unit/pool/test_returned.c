/* test_returned.c - pool/returned.h: chains in, one list out; pages in, pages out */
#include "pool/returned.h"

#include "pool/hollow.h"
#include "pools.h"

static struct block *blocks[MOST_BLOCKS];
static bool was_seen[MOST_BLOCKS];

/* Blocks from to to, linked in that order. */
static struct chain make_chain(struct pool *pool, uint32_t from, uint32_t to)
{
    for (uint32_t n = from; n + 1 < to; n++)
        blocks[n]->next = blocks[n + 1];
    return (struct chain){ pool, blocks[from], blocks[to - 1], to - from };
}

static bool give(struct pool *pool, uint32_t from, uint32_t to)
{
    struct chain chain = make_chain(pool, from, to);

    return tide_pool_return(&chain);
}

/* The freed list has count blocks, all different. */
static void assert_freed(struct pool *pool, uint32_t count)
{
    memset(was_seen, 0, sizeof was_seen);
    cr_assert_eq(list_length(pool->freed), count);
    for (struct block *block = pool->freed; block; block = block->next) {
        size_t n = (size_t)((char *)block - tide_pool_start(pool)) / pool->block_bytes;

        cr_assert(tide_pool_has_block(pool, block));
        cr_assert_not(was_seen[n]);
        was_seen[n] = true;
    }
    cr_assert_eq(tide_pool_freed_count(pool), count);
    tide_pool_check(pool);
}

static struct pool *open_full(unsigned size_class)
{
    struct pool *pool = open_pool(size_class);

    carve_all(pool, blocks);
    tide_pool_fill(pool);
    return pool;
}

Test(returned, nothing_is_returned_at_first)
{
    struct pool *pool = open_full(3);

    cr_assert_eq(tide_pool_returned_count(pool), 0);
    cr_assert_eq(tide_pool_collect(pool), POOL_UNCHANGED);
    assert_freed(pool, 0);
}

Test(returned, the_first_chain_asks_for_the_inbox_until_collected)
{
    struct pool *pool = open_full(3);

    cr_assert(give(pool, 0, 1));
    cr_assert_not(give(pool, 1, 2));
    cr_assert_not(give(pool, 2, 5));
    tide_pool_collect(pool);
    cr_assert(give(pool, 5, 6));
    cr_assert_not(give(pool, 6, 7));
}

Test(returned, blocks_count_as_allocated_until_collected)
{
    struct pool *pool = open_full(3);
    uint32_t left = tide_relaxed(&pool->left), held = tide_relaxed(&pool->held);

    give(pool, 0, 10);
    give(pool, 10, 17);
    cr_assert_eq(tide_pool_returned_count(pool), 17);
    cr_assert_eq(tide_relaxed(&pool->left), left);
    cr_assert_eq(tide_relaxed(&pool->held), held);
    assert_freed(pool, 0);
    tide_pool_collect(pool);
    cr_assert_eq(tide_pool_returned_count(pool), 0);
    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), left + held - 17);
    assert_freed(pool, 17);
}

Test(returned, collected_blocks_join_those_freed_before)
{
    struct pool *pool = open_full(3);

    free_block(pool, blocks[0]);
    free_block(pool, blocks[1]);
    give(pool, 2, 6);
    tide_pool_collect(pool);
    assert_freed(pool, 6);
    give(pool, 6, 8);
    tide_pool_collect(pool);
    assert_freed(pool, 8);
}

Test(returned, collecting_changes_the_pool_like_freeing)
{
    struct pool *pool = open_full(3);
    uint32_t enough = blocks_to_wait_for(pool);

    cr_assert_gt(enough, 1);
    give(pool, 0, enough - 1);
    cr_assert_eq(tide_pool_collect(pool), POOL_UNCHANGED);
    cr_assert_eq(tide_relaxed(&pool->state), POOL_FULL);
    give(pool, enough - 1, enough);
    cr_assert_eq(tide_pool_collect(pool), POOL_IS_USABLE);
    cr_assert_eq(tide_relaxed(&pool->state), POOL_USED);
    give(pool, enough, pool->capacity - 1);
    cr_assert_eq(tide_pool_collect(pool), POOL_UNCHANGED);
    give(pool, pool->capacity - 1, pool->capacity);
    cr_assert_eq(tide_pool_collect(pool), POOL_IS_EMPTY);
    assert_freed(pool, pool->capacity);
}

Test(returned, all_blocks_of_a_pool_can_be_one_chain)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_full(c);

        cr_assert(give(pool, 0, pool->capacity));
        cr_assert_eq(tide_pool_returned_count(pool), pool->capacity);
        cr_assert_eq(tide_pool_collect(pool), POOL_IS_EMPTY);
        assert_freed(pool, pool->capacity);
        drop_pool(pool);
    }
}

Test(returned, all_blocks_of_a_pool_can_be_chains_of_one)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_full(c);

        for (uint32_t n = pool->capacity; n-- > 0;)
            cr_assert_eq(give(pool, n, n + 1), n == pool->capacity - 1u);
        cr_assert_eq(tide_pool_returned_count(pool), pool->capacity);
        cr_assert_eq(tide_pool_collect(pool), POOL_IS_EMPTY);
        assert_freed(pool, pool->capacity);
        drop_pool(pool);
    }
}

/* ---- Pages ------------------------------------------------------------- */

/* Half of its pages are set aside: the upper one. */
static struct tide_pages set_half_aside(struct pool *pool)
{
    struct tide_pages aside;

    carve_all(pool, blocks);
    for (uint32_t n = pool->capacity / 2u; n < pool->capacity; n++)
        free_block(pool, blocks[n]);
    cr_assert(tide_pool_set_aside(pool, &aside));
    return aside;
}

Test(returned, the_first_pages_ask_for_the_inbox_until_collected)
{
    struct pool *pool = open_pool(tide_class_of(1024));
    struct tide_pages aside = set_half_aside(pool);
    uint64_t first = aside.pages & -aside.pages;

    cr_assert(tide_pool_return_pages(pool, first));
    cr_assert_not(tide_pool_return_pages(pool, aside.pages & ~first));
    cr_assert_eq(tide_pool_collect_pages(pool), POOL_UNCHANGED);
    cr_assert_eq(tide_relaxed(&pool->purged), 0);
    cr_assert_eq(pool->hollow_pages, aside.pages);
    tide_pool_check(pool);
    give(pool, 0, pool->capacity / 4u);
    tide_pool_collect(pool);
    cr_assert(tide_pool_set_aside(pool, &aside));
    cr_assert(tide_pool_return_pages(pool, aside.pages));
}

Test(returned, blocks_on_pages_count_as_allocated_until_collected)
{
    struct pool *pool = open_pool(tide_class_of(1024));
    struct tide_pages aside = set_half_aside(pool);
    uint32_t of_pages = pool->capacity - pool->capacity / 2u;

    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), pool->capacity);
    tide_pool_return_pages(pool, aside.pages);
    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), pool->capacity);
    cr_assert_eq(tide_relaxed(&pool->hollow), 0);
    tide_pool_collect_pages(pool);
    cr_assert_eq(tide_relaxed(&pool->hollow), of_pages);
    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), pool->capacity / 2u);
    tide_pool_check(pool);
}

Test(returned, collecting_pages_changes_the_pool_like_freeing)
{
    struct pool *pool = open_pool(tide_class_of(1024));
    struct tide_pages aside = set_half_aside(pool);

    give(pool, 0, pool->capacity / 2u);
    cr_assert_neq(tide_pool_collect(pool), POOL_IS_EMPTY);
    tide_pool_return_pages(pool, aside.pages);
    cr_assert_eq(tide_pool_collect_pages(pool), POOL_IS_EMPTY);
    tide_pool_check(pool);
    tide_pool_close(pool);
}

Test(returned, pages_and_blocks_are_returned_apart)
{
    struct pool *pool = open_pool(tide_class_of(1024));
    struct tide_pages aside = set_half_aside(pool);

    cr_assert(give(pool, 0, 1));
    cr_assert(tide_pool_return_pages(pool, aside.pages));
    cr_assert_not(give(pool, 1, 2));
    tide_pool_collect_pages(pool);
    cr_assert_eq(tide_pool_returned_count(pool), 2);
    tide_pool_collect(pool);
    tide_pool_check(pool);
}

/* ---- Threads ------------------------------------------------------------ */

enum { THREADS = 4, CHAIN = 5 };

static struct pool *shared;
static _Atomic unsigned asked_for_inbox;

/* Returns a THREADS-th of the blocks in short chains. */
static void give_share(void *argument)
{
    uint32_t share = shared->capacity / THREADS, from = share * *(uint32_t *)argument;

    for (uint32_t n = from; n < from + share; n += CHAIN)
        asked_for_inbox += give(shared, n, n + CHAIN < from + share ? n + CHAIN : from + share);
}

Test(returned, chains_from_many_threads_all_arrive)
{
    struct peer peers[THREADS];
    uint32_t numbers[THREADS], collected = 0, collections = 0, all;

    shared = open_full(0);
    all = shared->capacity / THREADS * THREADS;
    for (uint32_t n = 0; n < THREADS; n++) {
        numbers[n] = n;
        peer_start(&peers[n]);
        peer_ask(&peers[n], give_share, &numbers[n]);
    }
    while (collected < all) {
        tide_pool_collect(shared);
        collections += tide_pool_freed_count(shared) > collected;
        collected = tide_pool_freed_count(shared);
    }
    for (int n = 0; n < THREADS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    cr_assert_eq(collected, all);
    cr_assert_eq(asked_for_inbox, collections, "once for each time there was something");
    assert_freed(shared, all);
}
