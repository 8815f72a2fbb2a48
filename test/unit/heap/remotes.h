/* test/unit/heap/remotes.h - for the tests of heap/remote.h: blocks that one thread
 * owns and this one, which has a heap, frees
 *
 * So there are two heaps unless a test makes more.
 */
#ifndef TIDE_TEST_REMOTES_H
#define TIDE_TEST_REMOTES_H

#include "heap/remote.h"
#include "heaps.h"

/* A test that runs in a program of its own, started with the setting, or NULL. */
#define SCENARIO(suite, name, setting)                                                        \
    Test(suite, name)                                                                         \
    {                                                                                         \
        assert_ended_well(run_program(#name, setting, NULL));                                 \
    }                                                                                         \
    PROGRAM(name)

#define SIZE ((size_t)256)
MAY_BE_UNUSED static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

enum { POOLS = 70, CAPACITY = TIDE_SLOT_BYTES / SIZE }; /* more than are gathered at once */

static void *blocks[POOLS][CAPACITY];
static struct peer owner;
static struct heap *owners_heap;

MAY_BE_UNUSED static void make_pools(void *count)
{
    owners_heap = own_heap();
    for (size_t n = 0; n < *(size_t *)count; n++)
        fill_pool(SIZE, blocks[n]);
}

/* Lets the owner fill count pools. */
MAY_BE_UNUSED static struct pool *start(size_t count)
{
    peer_start(&owner);
    peer_do(&owner, make_pools, &count);
    TIDE_REQUIRE(own_heap() != owners_heap);
    return tide_pool_of(blocks[0][0]);
}

/* The blocks of all pools in one row. */
MAY_BE_UNUSED static void *nth(uint32_t n)
{
    return blocks[n / CAPACITY][n % CAPACITY];
}

MAY_BE_UNUSED static void free_row(uint32_t from, uint32_t to)
{
    for (; from < to; from++)
        tide_free(nth(from));
}

/* Those given are a list's, newest first. */
MAY_BE_UNUSED static void expect_row(const struct block *block, uint32_t from, uint32_t to)
{
    for (; to > from; block = block->next)
        TIDE_REQUIRE(block == nth(--to));
    TIDE_REQUIRE(!block);
}

MAY_BE_UNUSED static uint32_t returned_in_all(void)
{
    uint32_t count = 0;

    for (int n = 0; n < POOLS; n++)
        count += blocks[n][0] ? tide_pool_returned_count(tide_pool_of(blocks[n][0])) : 0;
    return count;
}

MAY_BE_UNUSED static uint32_t foreign(void)
{
    return own_heap()->foreign[size_class];
}

MAY_BE_UNUSED static const struct batch *surplus(void)
{
    return &own_heap()->surplus[size_class];
}

MAY_BE_UNUSED static void *first_of_list(void)
{
    return list_of(own_heap(), size_class);
}

MAY_BE_UNUSED static const struct outbox *outbox(void)
{
    return &own_heap()->outbox;
}

/* Blocks in the outbox; its chains are what they should be. */
MAY_BE_UNUSED static uint32_t count_outbox(void)
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

MAY_BE_UNUSED static void drain(void *unused)
{
    (void)unused;
    tide_heap_drain(owners_heap, UINT_MAX);
    tide_heap_check(owners_heap);
}

/* ---- Small blocks -------------------------------------------------------- */

/* Blocks that share cache lines with the owner's: of as many pools as make two
 * of them meet in an outbox. */
enum {
    SMALL = TIDE_CACHE_LINE / 2,
    SMALL_CLASS = SMALL / TIDE_ALIGNMENT,
    SMALL_CAPACITY = TIDE_SLOT_BYTES / SMALL,
    SMALL_POOLS = OUTBOX_CHAINS + 1,
};

static void *small[SMALL_POOLS][SMALL_CAPACITY];

MAY_BE_UNUSED static void make_small(void *unused)
{
    (void)unused;
    owners_heap = own_heap();
    for (int n = 0; n < SMALL_POOLS; n++)
        fill_pool(SMALL, small[n]);
}

MAY_BE_UNUSED static struct pool *start_small(void)
{
    peer_start(&owner);
    peer_do(&owner, make_small, NULL);
    TIDE_REQUIRE(own_heap() != owners_heap);
    return tide_pool_of(small[0][0]);
}

MAY_BE_UNUSED static uint32_t small_returned(void)
{
    uint32_t count = 0;

    for (int n = 0; n < SMALL_POOLS; n++)
        count += tide_pool_returned_count(tide_pool_of(small[n][0]));
    return count;
}

#endif
