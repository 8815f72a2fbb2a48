/* heap/remote.c - see remote.h.  The only lock is that of an orphan's heap, to
 * visit it. */
#include "heap/remote.h"

#include "base/options.h"
#include "heap/inspect.h"
#include "pool/returned.h"

enum { CHAINS = 32 };

static void put_in_inbox(struct heap *owner, struct pool *pool)
{
    struct pool *first = tide_relaxed(&owner->inbox);

    do
        pool->next_inbox = first;
    while (!atomic_compare_exchange_weak(&owner->inbox, &first, pool));
}

/* The pool can't go before its owner has seen the chain: the owner is read
 * first, while the chain's blocks still count as allocated. */
static void send_chain(const struct chain *chain)
{
    struct heap *owner = tide_relaxed(&chain->pool->owner);

    if (!tide_pool_return(chain))
        return;
    put_in_inbox(owner, chain->pool);
    /* Sequentially consistent with the inbox: either the ending thread, which
     * sets the state and then looks, sees the pool, or this one sees the state. */
    if (atomic_load(&owner->state) == HEAP_ORPHAN)
        tide_heap_visit_orphan(owner);
}

static void add_to_chain(struct chain *chain, struct block *block)
{
    block->next = chain->first;
    chain->first = block;
    chain->last = chain->last ? chain->last : block;
    chain->count++;
}

void tide_heap_send_home(struct block *blocks)
{
    struct chain chains[CHAINS] = { { .pool = NULL } };
    struct block *next;

    for (; blocks; blocks = next) {
        struct pool *pool = tide_pool_of(blocks);
        struct chain *chain = &chains[(uintptr_t)pool / sizeof *pool % CHAINS];

        next = blocks->next;
        if (chain->pool && chain->pool != pool)
            send_chain(chain);
        if (chain->pool != pool)
            *chain = (struct chain){ .pool = pool };
        add_to_chain(chain, blocks);
    }
    for (struct chain *chain = chains; chain < chains + CHAINS; chain++)
        if (chain->pool)
            send_chain(chain);
}

void tide_heap_send_foreign(struct heap *heap, unsigned size_class, uint32_t keep)
{
    struct block **link = &heap->list[size_class].freed, *block, *surplus = NULL;
    uint32_t foreign = 0, most = heap->foreign[size_class];

    /* Behind as many as there are at most there is no more. */
    for (uint32_t seen = 0; seen < most && (block = *link);) {
        bool is_foreign = tide_relaxed(&tide_pool_of(block)->owner) != heap;

        seen += is_foreign;
        if (is_foreign && foreign == keep) {
            *link = block->next;
            block->next = surplus;
            surplus = block;
        } else {
            foreign += is_foreign;
            link = &block->next;
        }
    }
    heap->foreign[size_class] = foreign;
    tide_heap_send_home(surplus);
}

static void send_outbox(struct heap *heap)
{
    struct block *blocks = heap->outbox;

    heap->outbox = NULL;
    heap->outbox_bytes = 0;
    tide_heap_send_home(blocks);
}

void tide_heap_send_all_foreign(struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        if (heap->foreign[c] != 0)
            tide_heap_send_foreign(heap, c, 0);
    send_outbox(heap);
}

/* Foreign blocks that are still in the list. */
static uint32_t count_foreign(const struct heap *heap, unsigned size_class)
{
    uint32_t count = 0, most = heap->foreign[size_class];

    for (struct block *block = heap->list[size_class].freed; block && count < most;
         block = block->next)
        count += tide_relaxed(&tide_pool_of(block)->owner) != heap;
    return count;
}

/* The list may hold too many.  A thread that took some of them since the last
 * time keeps half; one that took none, and has as many as were put there, keeps
 * none. */
static void shed_foreign(struct heap *heap, unsigned size_class)
{
    uint32_t most = heap->foreign[size_class], count = count_foreign(heap, size_class);

    heap->foreign[size_class] = count;
    tide_heap_send_foreign(heap, size_class, count < most ? most / 2 : 0);
}

static void put_in_outbox(struct heap *heap, struct block *block, uint32_t bytes)
{
    block->next = heap->outbox;
    heap->outbox = block;
    heap->outbox_bytes += bytes;
    if (heap->outbox_bytes > tide_options.stash)
        send_outbox(heap);
}

/* The rest is put aside when the first foreign block comes. */
static void put_in_list(struct heap *heap, struct block *block, unsigned size_class)
{
    struct free_list *list = &heap->list[size_class];

    if (heap->foreign[size_class] == 0 && !heap->rest[size_class]) {
        heap->rest[size_class] = list->freed;
        list->freed = NULL;
    }
    block->next = list->freed;
    list->freed = block;
    heap->foreign[size_class]++;
    if ((int64_t)heap->foreign[size_class] * tide_class_bytes[size_class] > tide_options.stash)
        shed_foreign(heap, size_class);
}

void tide_heap_free_remote(struct heap *heap, struct pool *pool, struct block *block,
                           const char *call)
{
    unsigned size_class = tide_relaxed(&pool->size_class);
    uint32_t bytes = tide_class_bytes[size_class];

    if (!heap || tide_heap_is_late(heap)) {
        block->next = NULL;
        tide_heap_send_home(block);
        return;
    }
    if (TIDE_UNLIKELY(heap->list[size_class].freed == block || heap->outbox == block))
        tide_heap_report_free(block, bytes, call);
    if (bytes < TIDE_CACHE_LINE)
        put_in_outbox(heap, block, bytes);
    else
        put_in_list(heap, block, size_class);
}
