/* pool/pool.c - see pool.h */
#include "pool/pool.h"

#include "base/fatal.h"
#include "os/map.h"
#include "pool/hollow.h"

/* In every slot's descriptor: a free looks at that of the block's slot. */
static void set_owner(struct pool *pool, struct heap *owner)
{
    for (unsigned n = 0; n < pool->slots; n++)
        tide_set_relaxed(&pool[n].owner, owner);
}

void tide_pool_route(struct pool *pool, struct free_list *list)
{
    for (unsigned n = 0; n < pool->slots; n++)
        pool[n].frees_to = list;
}

void tide_pool_open(struct pool *pool, unsigned size_class, struct heap *owner)
{
    TIDE_ASSERT(pool->slots == tide_class_slots(size_class));
    tide_pool_route(pool, &pool->own);
    pool->freed = NULL;
    pool->block_bytes = tide_class_bytes[size_class];
    pool->inverse = (uint32_t)(((uint64_t)1 << 31) / (pool->block_bytes / TIDE_WORD_BYTES) + 1);
    pool->capacity = (uint16_t)(tide_pool_bytes(pool) / pool->block_bytes);
    tide_set_relaxed(&pool->size_class, (uint8_t)size_class);
    pool->next = pool->prev = NULL;
    tide_set_relaxed(&pool->left, 0);
    tide_set_relaxed(&pool->held, 0);
    tide_set_relaxed(&pool->carved, 0);
    tide_set_relaxed(&pool->returned, 0);
    tide_set_relaxed(&pool->purged, 0);
    pool->hollow_pages = pool->pages_away = 0;
    tide_set_relaxed(&pool->hollow, 0);
    pool->free_at_look = 0;
    pool->likely = 0;
    pool->unused_since = 0;
    tide_set_relaxed(&pool->state, POOL_USED);
    set_owner(pool, owner);
}

void tide_pool_close(struct pool *pool)
{
    TIDE_ASSERT(tide_relaxed(&pool->left) + tide_relaxed(&pool->held) == 0);
    TIDE_ASSERT(tide_relaxed(&pool->returned) == 0 && tide_relaxed(&pool->purged) == 0);
    set_owner(pool, NULL);
    tide_set_relaxed(&pool->state, POOL_EMPTY);
    pool->is_zero = false;
}

struct block *tide_pool_carve(struct pool *pool)
{
    uint32_t carved = tide_relaxed(&pool->carved), bytes = pool->block_bytes, count;
    char *first = tide_pool_start(pool) + (size_t)carved * bytes, *end, *block;

    if (tide_relaxed(&pool->hollow) > 0)
        return tide_pool_carve_hollow(pool);
    if (carved == pool->capacity)
        return NULL;
    end = (char *)tide_round_down((uintptr_t)first, tide_os_page_bytes) + tide_os_page_bytes;
    for (count = 1, block = first; block + bytes < end && carved + count < pool->capacity;
         count++) {
        ((struct block *)block)->next = (struct block *)(block + bytes);
        block += bytes;
    }
    ((struct block *)block)->next = NULL;
    tide_set_relaxed(&pool->carved, (uint16_t)(carved + count));
    tide_count(&pool->left, count);
    return (struct block *)first;
}

struct block *tide_pool_take_freed(struct pool *pool)
{
    struct block *freed = pool->freed;

    tide_count(&pool->left, tide_pool_freed_count(pool));
    pool->freed = NULL;
    return freed;
}

void tide_pool_fill(struct pool *pool)
{
    uint32_t left = tide_relaxed(&pool->left) + tide_relaxed(&pool->held);
    uint32_t wait = tide_pool_blocks_needed(pool) - tide_pool_freed_count(pool);

    TIDE_ASSERT(!tide_pool_is_worth_using(pool) && wait <= left);
    tide_set_relaxed(&pool->held, left - wait);
    tide_set_relaxed(&pool->left, wait);
    tide_set_relaxed(&pool->state, POOL_FULL);
}

void tide_pool_watch(struct pool *pool, uint32_t count)
{
    uint32_t allocated = tide_pool_allocated(pool);

    TIDE_ASSERT(tide_relaxed(&pool->state) == POOL_USED);
    count = count > 0 ? count : 1;
    tide_set_relaxed(&pool->held, allocated - count);
    tide_set_relaxed(&pool->left, count);
}

enum pool_change tide_pool_settle(struct pool *pool, uint32_t count)
{
    uint32_t left = tide_relaxed(&pool->left), held = tide_relaxed(&pool->held);

    TIDE_ASSERT(count <= left + held);
    if (count < left) {
        tide_set_relaxed(&pool->left, left - count);
        return POOL_UNCHANGED;
    }
    tide_set_relaxed(&pool->left, left + held - count);
    tide_set_relaxed(&pool->held, 0);
    if (left + held == count)
        return POOL_IS_EMPTY;
    if (tide_relaxed(&pool->state) == POOL_USED)
        return POOL_IS_EMPTIER;
    tide_set_relaxed(&pool->state, POOL_USED);
    return POOL_IS_USABLE;
}

void tide_pool_check(const struct pool *pool)
{
    uint32_t left = tide_relaxed(&pool->left), held = tide_relaxed(&pool->held), freed = 0;

    TIDE_REQUIRE(tide_relaxed(&pool->carved) <= pool->capacity);
    TIDE_REQUIRE(left + held <= tide_relaxed(&pool->carved));
    TIDE_REQUIRE(held == 0 || left != 0);
    TIDE_REQUIRE(pool->block_bytes == tide_class_bytes[pool->size_class]);
    for (struct block *block = pool->freed; block; block = block->next, freed++) {
        TIDE_REQUIRE(tide_pool_of(block) == pool && tide_pool_has_block(pool, block));
        TIDE_REQUIRE(freed < pool->capacity);
    }
    TIDE_REQUIRE(freed == tide_pool_freed_count(pool));
    tide_pool_check_hollow(pool);
}
