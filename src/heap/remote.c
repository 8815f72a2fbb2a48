/* heap/remote.c - see remote.h.  The only locks are the depot's. */
#include "heap/remote.h"

#include "base/options.h"
#include "heap/bound.h"
#include "heap/inspect.h"
#include "heap/maintenance.h"
#include "pool/returned.h"

enum { OUTBOX_BYTES = 16384 }; /* what an outbox may hold before all goes home */

/* The owner may not look for long.  Sequentially consistent with the inbox: either
 * the ending thread, which sets the state and then looks, sees the pool, or this one
 * sees the state. */
static void tell_owner(struct heap *owner)
{
    tide_maintenance_note();
    if (atomic_load(&owner->state) == HEAP_ORPHAN)
        tide_heap_visit_orphan(owner);
}

/* The pool can't go before its owner has seen the chain: the owner is read
 * first, while the chain's blocks still count as allocated. */
static void send_chain(const struct chain *chain)
{
    struct pool *pool = chain->pool, *first;
    struct heap *owner = tide_relaxed(&pool->owner);

    if (!tide_pool_return(chain))
        return;
    if (tide_relaxed(&owner->state) != HEAP_RETIRED)
        atomic_fetch_add_explicit(&tide_bound_returned, tide_pool_bytes(pool),
                                  memory_order_relaxed);
    first = tide_relaxed(&owner->inbox);
    do
        pool->next_inbox = first;
    while (!atomic_compare_exchange_weak(&owner->inbox, &first, pool));
    tell_owner(owner);
}

/* Likewise: so do the blocks on the pages. */
void tide_heap_send_pages_home(const struct tide_pages *pages)
{
    struct pool *pool = pages->pool, *first;
    struct heap *owner = tide_relaxed(&pool->owner);

    if (!tide_pool_return_pages(pool, pages->pages))
        return;
    first = tide_relaxed(&owner->purged);
    do
        pool->next_purged = first;
    while (!atomic_compare_exchange_weak(&owner->purged, &first, pool));
    tell_owner(owner);
}

/* ---- Outboxes: a chain for each pool ----------------------------------- */

static struct chain *chain_for(struct outbox *outbox, const struct pool *pool)
{
    return &outbox->chains[(uintptr_t)pool / sizeof *pool % OUTBOX_CHAINS];
}

static void send_and_clear(struct outbox *outbox, struct chain *chain)
{
    outbox->bytes -= chain->count * chain->pool->block_bytes;
    send_chain(chain);
    *chain = (struct chain){ .pool = NULL };
}

static void send_all(struct outbox *outbox)
{
    for (struct chain *chain = outbox->chains; chain < outbox->chains + OUTBOX_CHAINS; chain++)
        if (chain->pool)
            send_and_clear(outbox, chain);
}

/* A chain for another pool that is in its place goes home. */
static void put_in_outbox(struct outbox *outbox, struct pool *pool, struct block *block)
{
    struct chain *chain = chain_for(outbox, pool);

    if (chain->pool && chain->pool != pool)
        send_and_clear(outbox, chain);
    chain->pool = pool;
    block->next = chain->first;
    chain->first = block;
    chain->last = chain->last ? chain->last : block;
    chain->count++;
    outbox->bytes += pool->block_bytes;
    if (outbox->bytes > OUTBOX_BYTES)
        send_all(outbox);
}

static void put_all_in_outbox(struct outbox *outbox, struct block *blocks)
{
    struct block *next;

    for (; blocks; blocks = next) {
        next = blocks->next;
        put_in_outbox(outbox, tide_pool_of(blocks), blocks);
    }
}

void tide_heap_send_home(struct block *blocks)
{
    struct outbox outbox = { .bytes = 0 };

    put_all_in_outbox(&outbox, blocks);
    send_all(&outbox);
}

void tide_heap_send_block_home(struct block *block)
{
    block->next = NULL;
    tide_heap_send_home(block);
}

size_t tide_heap_empty_depot(bool is_only_idle)
{
    struct outbox outbox = { .bytes = 0 };
    size_t left = 0;

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        put_all_in_outbox(&outbox, tide_depot_empty(c, is_only_idle));
        left += tide_relaxed(&tide_depot_stored[c]) != 0;
    }
    send_all(&outbox);
    return left;
}

/* ---- A heap's foreign blocks ------------------------------------------- */

/* Puts the blocks of a class's list that aren't the current pool's in the
 * outbox. */
static void strip_list(struct heap *heap, unsigned size_class)
{
    struct block **link = &heap->list[size_class].freed, *block;

    while ((block = *link)) {
        struct pool *pool = tide_pool_of(block);

        if (pool == heap->current[size_class]) {
            link = &block->next;
        } else {
            *link = block->next;
            put_in_outbox(&heap->outbox, pool, block);
        }
    }
    heap->foreign[size_class] = 0;
}

void tide_heap_send_all_foreign(struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        if (heap->foreign[c] != 0)
            strip_list(heap, c);
        put_all_in_outbox(&heap->outbox, tide_heap_take_surplus(heap, c));
    }
    send_all(&heap->outbox);
}

/* The surplus is a batch. */
static void put_away(struct heap *heap, unsigned size_class)
{
    if (tide_options.stash == 0)
        tide_heap_send_home(tide_heap_take_surplus(heap, size_class));
    else if (tide_depot_put(size_class, heap->surplus[size_class]))
        heap->surplus[size_class] = (struct batch){ .first = NULL };
    else
        put_all_in_outbox(&heap->outbox, tide_heap_take_surplus(heap, size_class));
}

static void put_small_in_outbox(struct heap *heap, struct pool *pool, struct block *block,
                                const char *call)
{
    if (TIDE_UNLIKELY(chain_for(&heap->outbox, pool)->first == block))
        tide_heap_report_free(block, pool->block_bytes, call);
    put_in_outbox(&heap->outbox, pool, block);
    if (tide_options.stash == 0)
        send_all(&heap->outbox);
}

void tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block,
                           const char *call)
{
    unsigned size_class = tide_relaxed(&pool->size_class);
    uint8_t batch = tide_relaxed(&tide_depot_batch[size_class]);
    struct block **list = &heap->list[size_class].freed;
    struct batch *surplus = &heap->surplus[size_class];

    if (TIDE_UNLIKELY(*list == block || surplus->first == block))
        tide_heap_report_free(block, pool->block_bytes, call);
    if (size_class < TIDE_LINE_CLASS) {
        put_small_in_outbox(heap, pool, block, call);
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
}
