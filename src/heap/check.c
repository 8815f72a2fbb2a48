/* heap/check.c - see check.h */
#include "heap/check.h"

#include "heap/lists.h"

static void check_list(struct heap *heap, unsigned size_class)
{
    uint32_t foreign = 0;

    for (struct block *block = heap->list[size_class].freed; block; block = block->next) {
        struct pool *pool = tide_pool_of(block);

        TIDE_REQUIRE(pool->size_class >= size_class && tide_pool_has_block(pool, block));
        foreign += !tide_heap_may_list(heap, pool);
    }
    TIDE_REQUIRE(foreign == 0 || heap->foreign[size_class] > 0);
}

static void check_waiting(const struct heap *heap)
{
    size_t bytes = 0;

    for (int n = 0; n < OUTBOX_CHAINS; n++) {
        const struct chain *chain = &heap->outbox.chains[n];

        TIDE_REQUIRE(!chain->pool == !chain->first && !chain->first == !chain->last);
        bytes += chain->pool ? chain->count * chain->pool->block_bytes : 0;
    }
    TIDE_REQUIRE(bytes == heap->outbox.bytes);
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        uint32_t count = 0;

        for (struct block *block = heap->surplus[c].first; block; block = block->next, count++)
            TIDE_REQUIRE(tide_pool_of(block)->size_class == c);
        TIDE_REQUIRE(count == heap->surplus[c].count);
    }
}

static void check_pool_of(struct heap *heap, struct pool *pool, unsigned size_class)
{
    TIDE_REQUIRE(tide_relaxed(&pool->owner) == heap && pool->size_class == size_class);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_USED);
    tide_pool_check(pool);
}

/* Of a cached class, frees of the current pool go to the list, which is measured in time. */
static void check_cached(const struct heap *heap)
{
    uint32_t deepened = 0;

    for (unsigned c = TIDE_CACHED_CLASS; c < TIDE_CLASSES; c++) {
        const struct pool *pool = heap->current[c];

        deepened += heap->depth[c] * TIDE_LIST_LEAST * tide_class_bytes[c];
        TIDE_REQUIRE(!pool || pool->frees_to == &heap->list[c]);
        TIDE_REQUIRE(!pool || tide_relaxed(&heap->list[c].left) > 0);
    }
    TIDE_REQUIRE(deepened == heap->deepened);
}

void tide_heap_check(struct heap *heap)
{
    uint32_t stocked = 0;

    check_cached(heap);
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        check_list(heap, c);
        if (heap->current[c])
            check_pool_of(heap, heap->current[c], c);
        for (struct pool *pool = heap->used[c]; pool; pool = pool->next) {
            TIDE_REQUIRE(pool != heap->current[c]);
            TIDE_REQUIRE((pool->next ? pool->next : heap->used[c])->prev == pool);
            check_pool_of(heap, pool, c);
        }
    }
    check_waiting(heap);
    for (struct pool *pool = heap->stock; pool; pool = pool->next, stocked++)
        TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && pool->slots == 1);
    TIDE_REQUIRE(stocked == heap->stock_count);
    TIDE_REQUIRE(!heap->wide || (tide_relaxed(&heap->wide->state) == POOL_EMPTY &&
                                 heap->wide->slots == TIDE_WIDE_SLOTS));
}
