/* heap/lists.c - see lists.h */
#include "heap/lists.h"

#include "base/due.h"
#include "heap/home.h"
#include "heap/pools.h"

enum {
    MOST_BLOCKS = 64,        /* in a list */
    MOST_DEEPENED = 1 << 19, /* bytes that all of a heap's lists may have more than at first */
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

/* The next free is noticed, as it may be the last for long. */
void tide_heap_make_shallow(struct heap *heap, unsigned size_class)
{
    heap->deepened -=
        (tide_heap_list_most(heap, size_class) - TIDE_LIST_LEAST) * tide_class_bytes[size_class];
    heap->depth[size_class] = 0;
    heap->ran_dry[size_class] = false;
    tide_set_relaxed(&heap->list[size_class].left, 1);
}

static void deepen(struct heap *heap, unsigned size_class)
{
    uint32_t bytes = TIDE_LIST_LEAST * tide_class_bytes[size_class];

    if (tide_heap_list_most(heap, size_class) >= MOST_BLOCKS ||
        heap->deepened + bytes > MOST_DEEPENED)
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

struct block *tide_heap_last_of_run(struct block *first, uint32_t most, uint32_t *count)
{
    const struct pool *pool = tide_pool_of(first);
    struct block *last = first;

    for (*count = 1; *count < most && last->next && tide_pool_of(last->next) == pool; ++*count)
        last = last->next;
    return last;
}

/* A used pool that has more free blocks now, the one likeliest to have free pages, or NULL;
 * *count becomes how many blocks it were. */
static struct pool *put_all_back(struct heap *heap, struct block *first, uint32_t *count)
{
    struct pool *emptier = NULL;
    struct block *last, *next;

    for (*count = 0; first; first = next) {
        struct pool *pool = tide_pool_of(first);
        enum pool_change change;
        uint32_t run;

        last = tide_heap_last_of_run(first, UINT32_MAX, &run);
        next = last->next;
        *count += run;
        if (tide_relaxed(&pool->owner) != heap) {
            last->next = NULL;
            tide_outbox_put_all(&heap->outbox, first);
            continue;
        }
        change = tide_heap_put_back(heap, pool, first, last, run);
        if (change == POOL_IS_EMPTY && emptier == pool)
            emptier = NULL;
        else if (tide_pool_has_more_free(change) && pool != heap->current[pool->size_class] &&
                 (!emptier || pool->likely > emptier->likely))
            emptier = pool;
    }
    return emptier;
}

/* The list is measured again after so many frees, or more, as many as make up for the walk. */
static void count_from(struct free_list *list, uint32_t room, uint32_t walk)
{
    tide_set_relaxed(&list->left, room > walk ? room : walk);
}

/* What is only freed need not go through the list.  The block just freed goes with the rest,
 * so that it is found if it is freed twice.  False if the pool is empty now. */
static bool bypass(struct heap *heap, struct pool *pool)
{
    struct free_list *list = &heap->list[pool->size_class];
    struct block *block = list->freed;

    TIDE_ASSERT(tide_pool_of(block) == pool);
    if (pool == heap->current[pool->size_class])
        return true;
    list->freed = block->next;
    tide_pool_route(pool, &pool->own);
    return tide_heap_put_back(heap, pool, block, block, 1) != POOL_IS_EMPTY;
}

struct pool *tide_heap_cut_list(struct heap *heap, struct pool *pool)
{
    unsigned size_class = tide_relaxed(&pool->size_class);
    struct free_list *list = &heap->list[size_class];
    uint32_t most = tide_heap_list_most(heap, size_class), count;
    bool ran_dry = heap->ran_dry[size_class];
    struct block *middle = NULL, *rest;
    struct pool *emptier;

    tide_ring();
    count = measure(list->freed, most, &middle);
    if (count == most || (heap->depth[size_class] == 0 && !ran_dry))
        tide_owner_add(&heap->moves, 1);
    if (count == most && ran_dry) {
        heap->ran_dry[size_class] = false;
        deepen(heap, size_class);
        most = tide_heap_list_most(heap, size_class);
    }
    if (count < most) {
        count_from(list, most - count, most / 2);
        return NULL;
    }
    rest = middle->next;
    middle->next = NULL;
    emptier = put_all_back(heap, rest, &count);
    count_from(list, most / 2, count);
    if (!ran_dry && !bypass(heap, pool) && emptier == pool)
        emptier = NULL;
    return emptier;
}

void tide_heap_give_list_back(struct heap *heap, unsigned size_class)
{
    unsigned other = heap->given_back + 1u;
    struct block *blocks;
    uint32_t count;

    if (other < TIDE_CACHED_CLASS || other >= TIDE_CLASSES)
        other = TIDE_CACHED_CLASS;
    heap->given_back = (uint8_t)other;
    if (other == size_class)
        return;
    blocks = heap->list[other].freed;
    heap->list[other].freed = NULL;
    heap->foreign[other] = 0;
    tide_heap_make_shallow(heap, other);
    put_all_back(heap, blocks, &count);
}
