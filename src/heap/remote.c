/* heap/remote.c - see remote.h.  The only locks are the depot's. */
#include "heap/remote.h"

#include "exchange/depot.h"
#include "heap/home.h"
#include "heap/lists.h"

/* Puts the blocks of a class's list that don't belong there in the outbox. */
static void strip_list(struct heap *heap, unsigned size_class)
{
    struct block **link = &heap->list[size_class].freed, *block;

    while ((block = *link)) {
        struct pool *pool = tide_pool_of(block);

        if (tide_heap_may_list(heap, pool)) {
            link = &block->next;
        } else {
            *link = block->next;
            tide_outbox_put(&heap->outbox, pool, block);
        }
    }
    heap->foreign[size_class] = 0;
}

void tide_heap_send_all_foreign(struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        if (heap->foreign[c] != 0)
            strip_list(heap, c);
        tide_outbox_put_all(&heap->outbox, tide_heap_take_surplus(heap, c));
    }
    tide_outbox_send(&heap->outbox);
}

/* The surplus is a batch. */
static void put_away(struct heap *heap, unsigned size_class)
{
    if (tide_depot_put(heap->tenant.shard, size_class, heap->surplus[size_class]))
        heap->surplus[size_class] = (struct batch){ .first = NULL };
    else
        tide_outbox_put_all(&heap->outbox, tide_heap_take_surplus(heap, size_class));
}

bool tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block)
{
    unsigned size_class = tide_relaxed(&pool->size_class);
    uint8_t batch = tide_relaxed(&tide_depot_batch[size_class]);
    struct block **list = &heap->list[size_class].freed;
    struct batch *surplus = &heap->surplus[size_class];

    if (TIDE_UNLIKELY(*list == block || surplus->first == block))
        return false;
    if (size_class < TIDE_LINE_CLASS) {
        if (TIDE_UNLIKELY(tide_outbox_chain(&heap->outbox, pool)->first == block))
            return false;
        tide_outbox_put(&heap->outbox, pool, block);
    } else if (heap->foreign[size_class] < batch) {
        heap->foreign[size_class]++;
        block->next = *list;
        *list = block;
    } else {
        block->next = surplus->first;
        surplus->first = block;
        if (++surplus->count >= batch)
            put_away(heap, size_class);
    }
    return true;
}
