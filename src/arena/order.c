/* arena/order.c - see order.h */
#include "arena/order.h"

#include "base/options.h"

struct tide_search tide_order_begin(const struct shard *shard, unsigned slots, unsigned most)
{
    return (struct tide_search){
        .shard = shard,
        .buckets = shard->nonempty & (~0u << tide_shard_bucket_for(slots)),
        .most = most,
    };
}

/* The lower a bucket's number, the fuller its arenas. */
static struct arena *first_of_next_bucket(struct tide_search *search)
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

static struct arena *next_by_fullness(struct tide_search *search)
{
    struct arena *next = search->last ? search->last->next : NULL;

    return next && search->tries < search->most ? next : first_of_next_bucket(search);
}

/* As many as all buckets together would give. */
static struct arena *next_by_address(const struct tide_search *search)
{
    uintptr_t least = (uintptr_t)search->last, found = UINTPTR_MAX;

    if (search->tries / BUCKETS >= search->most)
        return NULL;
    for (struct arena *arena = search->shard->all; arena; arena = arena->next_all)
        if ((search->buckets >> arena->bucket & 1) && (uintptr_t)arena > least &&
            (uintptr_t)arena < found)
            found = (uintptr_t)arena;
    return found == UINTPTR_MAX ? NULL : (struct arena *)found;
}

struct arena *tide_order_next(struct tide_search *search)
{
    search->last = tide_options.arena_order == TIDE_ARENA_ORDER_FIRST ? next_by_address(search)
                                                                      : next_by_fullness(search);
    search->tries++;
    return search->last;
}
