/* heap/lists.c - see lists.h */
#include "heap/lists.h"

#include "base/due.h"
#include "heap/home.h"
#include "heap/pools.h"

enum {
    MOST_BLOCKS = 64,         /* in a list */
    MOST_DEEPENED = 1 << 19,  /* bytes that all of a heap's lists may have more than at first */
};

enum pool_change tide_heap_put_back(struct heap *heap, struct pool *pool, struct block *first,
                                    struct block *last, uint32_t count)
{
    enum pool_change change;

    last->next = pool->freed;
    pool->freed = first;
    change = tide_pool_settle(pool, count);
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
    uint32_t bytes = TIDE_LIST_LEAST * tide_class_bytes[size_class];

    if (tide_list_most(heap, size_class) >= MOST_BLOCKS || heap->deepened + bytes > MOST_DEEPENED)
        return;
    heap->depth[size_class]++;
    heap->deepened += bytes;
}

/* How many blocks the list has, or most if that is less; *middle becomes the last that may
 * stay when it has too many. */
static uint32_t measure(struct block *block, uint32_t most, struct block **middle)
{
    uint32_t count = 0;

    for (; block && count < most; block = block->next)
        if (++count == most / 2)
            *middle = block;
    return count;
}

/* Of a list, those at its start that are of one pool: their last; *count is how many. */
static struct block *last_of_run(struct block *block, const struct pool *pool, uint32_t *count)
{
    for (*count = 1; block->next && tide_pool_of(block->next) == pool; ++*count)
        block = block->next;
    return block;
}

static struct pool *put_all_back(struct heap *heap, struct block *first)
{
    struct pool *changed = NULL;
    struct block *last, *next;

    for (; first; first = next) {
        struct pool *pool = tide_pool_of(first);
        enum pool_change change;
        uint32_t count;

        if (tide_relaxed(&pool->owner) != heap) {
            next = first->next;
            tide_outbox_put(&heap->outbox, pool, first);
            continue;
        }
        last = last_of_run(first, pool, &count);
        next = last->next;
        change = tide_heap_put_back(heap, pool, first, last, count);
        if (change == POOL_IS_EMPTY && changed == pool)
            changed = NULL;
        else if (tide_pool_has_more_free(change) && pool != heap->current[pool->size_class])
            changed = pool;
    }
    tide_ring();
    return changed;
}

struct pool *tide_heap_cut_list(struct heap *heap, unsigned size_class)
{
    struct free_list *list = &heap->list[size_class];
    uint32_t most = tide_list_most(heap, size_class), count;
    struct block *middle = NULL, *surplus;

    tide_owner_add(&heap->moves, 1);
    count = measure(list->freed, most, &middle);
    if (count == most && heap->ran_dry[size_class]) {
        heap->ran_dry[size_class] = false;
        deepen(heap, size_class);
        most = tide_list_most(heap, size_class);
    }
    if (count < most) {
        tide_set_relaxed(&list->left, most - count);
        return NULL;
    }
    surplus = middle->next;
    middle->next = NULL;
    tide_set_relaxed(&list->left, most / 2);
    return put_all_back(heap, surplus);
}

void tide_heap_cut_other_list(struct heap *heap, unsigned size_class)
{
    unsigned other = heap->cut_last + 1u;
    struct block *blocks;

    if (other < TIDE_GATHERED_CLASS || other >= TIDE_CLASSES)
        other = TIDE_GATHERED_CLASS;
    heap->cut_last = (uint8_t)other;
    if (other == size_class)
        return;
    tide_heap_make_shallow(heap, other);
    blocks = heap->list[other].freed;
    heap->list[other].freed = NULL;
    tide_set_relaxed(&heap->list[other].left, TIDE_LIST_LEAST);
    put_all_back(heap, blocks);
}
