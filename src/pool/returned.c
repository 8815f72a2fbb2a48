/* pool/returned.c - see returned.h */
#include "pool/returned.h"

#include "base/fatal.h"
#include "pool/hollow.h"

/* The word: first and last block as distances from the pool's start in units
 * of 8 bytes, the count, and the queued bit. */
struct returned {
    uint32_t first, last, count;
    bool is_queued;
};

enum { DISTANCE_BITS = 16, COUNT_BITS = 16 };
_Static_assert(TIDE_WIDE_SLOTS * TIDE_SLOT_BYTES / TIDE_WORD_BYTES <= 1 << DISTANCE_BITS, "");
_Static_assert(TIDE_SLOT_BYTES / TIDE_WORD_BYTES < 1 << COUNT_BITS, "");

static uint64_t pack(struct returned it)
{
    return (uint64_t)it.first << (1 + COUNT_BITS + DISTANCE_BITS) |
           (uint64_t)it.last << (1 + COUNT_BITS) | (uint64_t)it.count << 1 | it.is_queued;
}

static struct returned unpack(uint64_t word)
{
    return (struct returned){
        .first = (uint32_t)(word >> (1 + COUNT_BITS + DISTANCE_BITS)),
        .last = (uint32_t)(word >> (1 + COUNT_BITS)) & ((1 << DISTANCE_BITS) - 1),
        .count = (uint32_t)(word >> 1) & ((1 << COUNT_BITS) - 1),
        .is_queued = word & 1,
    };
}

static uint32_t distance(const struct pool *pool, const struct block *block)
{
    return (uint32_t)((size_t)((const char *)block - tide_pool_start(pool)) / TIDE_WORD_BYTES);
}

static struct block *at(const struct pool *pool, uint32_t distance)
{
    return (struct block *)(tide_pool_start(pool) + (size_t)distance * TIDE_WORD_BYTES);
}

bool tide_pool_return(const struct chain *chain)
{
    struct pool *pool = chain->pool;
    uint64_t old = tide_relaxed(&pool->returned), new;
    struct returned before;

    do {
        struct returned after = {
            .first = distance(pool, chain->first),
            .last = distance(pool, chain->last),
            .count = chain->count,
            .is_queued = true,
        };

        before = unpack(old);
        chain->last->next = NULL;
        if (before.count != 0) {
            chain->last->next = at(pool, before.first);
            after.last = before.last;
            after.count += before.count;
        }
        new = pack(after);
        /* Release: the owner that collects sees the links. */
    } while (!atomic_compare_exchange_weak_explicit(&pool->returned, &old, new,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return !before.is_queued;
}

enum pool_change tide_pool_collect(struct pool *pool)
{
    struct returned it = unpack(atomic_exchange_explicit(&pool->returned, 0, memory_order_acq_rel));

    if (it.count == 0)
        return POOL_UNCHANGED;
    at(pool, it.last)->next = pool->freed;
    pool->freed = at(pool, it.first);
    return tide_pool_settle(pool, it.count);
}

uint32_t tide_pool_returned_count(const struct pool *pool)
{
    return unpack(tide_relaxed(&pool->returned)).count;
}

/* As long as there are pages here their blocks count as allocated, so the pool can't
 * go before its owner has seen them. */
bool tide_pool_return_pages(struct pool *pool, uint64_t pages)
{
    return atomic_fetch_or_explicit(&pool->purged, pages, memory_order_acq_rel) == 0;
}

enum pool_change tide_pool_collect_pages(struct pool *pool)
{
    uint64_t pages = atomic_exchange_explicit(&pool->purged, 0, memory_order_acq_rel);

    return tide_pool_settle(pool, tide_pool_take_back(pool, pages));
}
