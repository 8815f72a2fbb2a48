/* heap/lists.c - see lists.h */
#include "heap/lists.h"

#include "base/due.h"
#include "heap/home.h"
#include "heap/pools.h"

enum {
    MOST_BLOCKS = 128,        /* in a list */
    MOST_DEEPENED = 1 << 20,  /* bytes that all of a heap's lists may have more than at first */
};

enum pool_change tide_heap_put_back(struct heap *heap, struct pool *pool, struct block *block)
{
    enum pool_change change;

    block->next = pool->freed;
    pool->freed = block;
    change = tide_pool_settle(pool, 1);
    tide_heap_place(heap, pool, change);
    return change;
}

void tide_heap_make_shallow(struct heap *heap, unsigned size_class)
{
    heap->deepened -=
        (tide_list_most(heap, size_class) - TIDE_LIST_LEAST) * tide_class_bytes[size_class];
    heap->depth[size_class] = 0;
}

static void deepen(struct heap *heap, unsigned size_class)
{
    uint32_t more = tide_list_most(heap, size_class);
    uint32_t bytes = more * tide_class_bytes[size_class];

    if (2 * more > MOST_BLOCKS || heap->deepened + bytes > MOST_DEEPENED)
        return;
    heap->depth[size_class]++;
    heap->deepened += bytes;
}

/* Where the list's nth block is linked, or its end; *n becomes how many are before. */
static struct block **nth(struct free_list *list, uint32_t *n)
{
    struct block **link = &list->freed;
    uint32_t count = 0;

    for (; count < *n && *link; count++)
        link = &(*link)->next;
    *n = count;
    return link;
}

static struct pool *put_all_back(struct heap *heap, struct block *blocks)
{
    struct pool *changed = NULL;
    struct block *next;

    for (; blocks; blocks = next) {
        struct pool *pool = tide_pool_of(blocks);
        enum pool_change became;

        next = blocks->next;
        if (tide_relaxed(&pool->owner) != heap) {
            tide_outbox_put(&heap->outbox, pool, blocks);
            continue;
        }
        became = tide_heap_put_back(heap, pool, blocks);
        if (became == POOL_IS_EMPTY && changed == pool)
            changed = NULL;
        else if (tide_pool_has_more_free(became) && pool != heap->current[pool->size_class])
            changed = pool;
    }
    tide_ring();
    return changed;
}

struct pool *tide_heap_cut_list(struct heap *heap, unsigned size_class)
{
    struct free_list *list = &heap->list[size_class];
    uint32_t most = tide_list_most(heap, size_class), count = most;
    struct block **link = nth(list, &count), *surplus;

    if (count == most) {
        if (heap->ran_dry[size_class])
            deepen(heap, size_class);
        heap->ran_dry[size_class] = false;
        most = tide_list_most(heap, size_class);
    }
    if (count < most) {
        tide_set_relaxed(&list->left, most - count);
        return NULL;
    }
    count = most / 2;
    link = nth(list, &count);
    surplus = *link;
    *link = NULL;
    tide_set_relaxed(&list->left, most - count);
    return put_all_back(heap, surplus);
}
