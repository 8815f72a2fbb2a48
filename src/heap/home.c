/* heap/home.c - see home.h.  The only locks are the depot's. */
#include "heap/home.h"

#include "exchange/depot.h"
#include "heap/pools.h"
#include "pool/returned.h"

enum { OUTBOX_BYTES = 16384 }; /* what an outbox may hold before all goes home */

/* The owner may not look for long.  Sequentially consistent with the inbox: either
 * the ending thread, which sets the state and then looks, sees the pool, or this one
 * sees the state. */
static void tell_owner(struct heap *owner)
{
    tide_ring();
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

static void send_and_clear(struct outbox *outbox, struct chain *chain)
{
    outbox->bytes -= chain->count * chain->pool->block_bytes;
    send_chain(chain);
    *chain = (struct chain){ .pool = NULL };
}

void tide_outbox_send(struct outbox *outbox)
{
    for (struct chain *chain = outbox->chains; chain < outbox->chains + OUTBOX_CHAINS; chain++)
        if (chain->pool)
            send_and_clear(outbox, chain);
}

/* A chain for another pool that is in its place goes home. */
void tide_outbox_put(struct outbox *outbox, struct pool *pool, struct block *block)
{
    struct chain *chain = tide_outbox_chain(outbox, pool);

    if (chain->pool && chain->pool != pool)
        send_and_clear(outbox, chain);
    chain->pool = pool;
    block->next = chain->first;
    chain->first = block;
    chain->last = chain->last ? chain->last : block;
    chain->count++;
    outbox->bytes += pool->block_bytes;
    if (outbox->bytes > OUTBOX_BYTES)
        tide_outbox_send(outbox);
}

void tide_outbox_put_all(struct outbox *outbox, struct block *blocks)
{
    struct block *next;

    for (; blocks; blocks = next) {
        next = blocks->next;
        tide_outbox_put(outbox, tide_pool_of(blocks), blocks);
    }
}

void tide_heap_send_home(struct block *blocks)
{
    struct outbox outbox = { .bytes = 0 };

    tide_outbox_put_all(&outbox, blocks);
    tide_outbox_send(&outbox);
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
        tide_outbox_put_all(&outbox, tide_depot_empty(c, is_only_idle));
        left += tide_relaxed(&tide_depot_stored[c]) != 0;
    }
    tide_outbox_send(&outbox);
    return left;
}
