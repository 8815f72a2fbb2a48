/* arena/order.c - see order.h */
#include "arena/order.h"

struct arena *tide_order_next_address(const struct shard *shard, uint32_t buckets,
                                      const struct arena *last)
{
    uintptr_t found = UINTPTR_MAX;

    for (struct arena *arena = shard->all; arena; arena = arena->next_all)
        if ((buckets >> arena->bucket & 1) && (uintptr_t)arena > (uintptr_t)last &&
            (uintptr_t)arena < found)
            found = (uintptr_t)arena;
    return found == UINTPTR_MAX ? NULL : (struct arena *)found;
}
