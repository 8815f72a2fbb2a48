/* arena/order.h - in which order a shard's arenas are looked into
 *
 * TIDEPOOL_ARENA_ORDER says which: the fullest first, so that others can empty;
 * to compare with, the emptiest, or the one at the lowest address.  The next by
 * fullness is found in constant time, the next by address by looking at all.
 *
 * A search is made and used under the shard's lock, not given up in between,
 * and ends with the first run that is taken: that changes the lists.
 */
#ifndef TIDE_ARENA_ORDER_H
#define TIDE_ARENA_ORDER_H

#include "arena/shard.h"
#include "base/options.h"

struct tide_search {
    const struct shard *shard;
    uint32_t buckets;   /* whose arenas may do; by fullness, those not begun */
    struct arena *last; /* looked into; NULL at first */
    unsigned tries;     /* arenas of last's bucket that were given; by address, of all */
    unsigned most;      /* of them; UINT32_MAX for all */
};

/* A search for arenas with so many slots free, of which each bucket gives so
 * many. */
static inline struct tide_search tide_order_begin(const struct shard *shard, unsigned slots,
                                                  unsigned most)
{
    return (struct tide_search){
        .shard = shard,
        .buckets = shard->nonempty & (~0u << tide_shard_bucket_for(slots)),
        .most = most,
    };
}

/* The shard's arena at the lowest address behind last that is in one of the
 * buckets; NULL: none. */
struct arena *tide_order_next_address(const struct shard *shard, uint32_t buckets,
                                      const struct arena *last);

/* The lower a bucket's number, the fuller its arenas. */
static inline struct arena *tide_order_next_bucket(struct tide_search *search)
{
    unsigned bucket;

    if (search->buckets == 0)
        return NULL;
    bucket = tide_options.arena_order == TIDE_ARENA_ORDER_EMPTIEST
                 ? tide_log2(search->buckets)
                 : tide_lowest_bit(search->buckets);
    search->buckets &= ~(1u << bucket);
    search->tries = 0;
    return search->shard->buckets[bucket];
}

/* The next one; NULL if there are no more. */
static inline struct arena *tide_order_next(struct tide_search *search)
{
    struct arena *next = search->last ? search->last->next : NULL;

    if (TIDE_UNLIKELY(tide_options.arena_order == TIDE_ARENA_ORDER_FIRST))
        next = search->tries / BUCKETS < search->most /* as many as all buckets would give */
                   ? tide_order_next_address(search->shard, search->buckets, search->last)
                   : NULL;
    else if (!next || search->tries >= search->most)
        next = tide_order_next_bucket(search);
    search->tries++;
    search->last = next;
    return next;
}

#endif
