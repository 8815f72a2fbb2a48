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

struct tide_search {
    const struct shard *shard;
    uint32_t buckets;   /* whose arenas may do; by fullness, those not begun */
    struct arena *last; /* looked into; NULL at first */
    unsigned tries;     /* arenas of last's bucket that were given; by address, of all */
    unsigned most;      /* of them; UINT32_MAX for all */
};

/* A search for arenas with so many slots free, of which each bucket gives so
 * many. */
struct tide_search tide_order_begin(const struct shard *shard, unsigned slots, unsigned most);

/* The next one; NULL if there are no more. */
struct arena *tide_order_next(struct tide_search *search);

#endif
