/* test/unit/pool/pools.h - pools that no heap knows, for the tests of pool/ */
#ifndef TIDE_TEST_POOLS_H
#define TIDE_TEST_POOLS_H

#include "../unit.h"
#include "arena/arena.h"
#include "pool/pool.h"

#define OWNER ((struct heap *)64) /* only an identity */

static struct arena *pools_arena;

/* An unused pool of the class in an arena that the manager doesn't know. */
MAY_BE_UNUSED static struct pool *open_pool(unsigned size_class)
{
    struct pool *pool;

    if (!pools_arena)
        pools_arena = tide_arena_create(0, 0);
    cr_assert(pools_arena);
    pool = tide_arena_take_locked(pools_arena, tide_class_slots(size_class));
    cr_assert(pool);
    tide_pool_open(pool, size_class, OWNER);
    return pool;
}

/* Undoes open_pool, whatever is allocated. */
MAY_BE_UNUSED static void drop_pool(struct pool *pool)
{
    tide_set_relaxed(&pool->owner, NULL);
    tide_arena_put_locked(pools_arena, pool);
}

/* Carves all blocks into blocks, in order of address. */
MAY_BE_UNUSED static void carve_all(struct pool *pool, struct block **blocks)
{
    uint32_t count = 0;

    for (struct block *block = tide_pool_carve(pool); block; block = tide_pool_carve(pool))
        for (; block; block = block->next)
            blocks[count++] = block;
    cr_assert_eq(count, pool->capacity);
}

/* Frees a block as its owner does. */
MAY_BE_UNUSED static enum pool_change free_block(struct pool *pool, struct block *block)
{
    block->next = pool->freed;
    pool->freed = block;
    return tide_owner_drops_to_zero(&pool->left) ? tide_pool_settle(pool, 0) : POOL_UNCHANGED;
}

/* Frees after which a full pool is worth using: a sixteenth, at least one. */
MAY_BE_UNUSED static uint32_t blocks_to_wait_for(const struct pool *pool)
{
    return pool->capacity < 16 ? 1 : pool->capacity / 16;
}

MAY_BE_UNUSED static uint32_t list_length(const struct block *block)
{
    uint32_t length = 0;

    for (; block; block = block->next)
        length++;
    return length;
}

enum { MOST_BLOCKS = TIDE_SLOT_BYTES / TIDE_WORD_BYTES }; /* in one pool */

#endif
