/* heap/inspect.c - see inspect.h */
#include "heap/inspect.h"

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "heap/huge.h"

static _Noreturn void report_inside(const void *address, const void *start, size_t bytes,
                                    const char *call)
{
    tide_base_misuse(call, address, "inside a block of %zu bytes, %zu bytes after its start", bytes,
                     (size_t)((const char *)address - (const char *)start));
}

static _Noreturn void report_records(const void *address, const char *call)
{
    tide_base_misuse(call, address, "not a block: tidepool's own records are there");
}

void tide_heap_report_free(const void *address, size_t bytes, const char *call)
{
    tide_base_misuse(call, address, "already free: a block of %zu bytes", bytes);
}

static struct found find_pooled(struct pool *pool, const void *address, const char *call)
{
    const char *start = tide_pool_start(pool);
    size_t distance = (size_t)((const char *)address - start), bytes = pool->block_bytes;

    if (TIDE_UNLIKELY(!tide_pool_has_block(pool, address))) {
        if (distance / bytes >= tide_relaxed(&pool->carved))
            tide_base_misuse(call, address, "not allocated: in a pool of blocks of %zu bytes",
                             bytes);
        report_inside(address, start + distance / bytes * bytes, bytes, call);
    }
    if (tide_options.check && !tide_arena_is_live(address))
        tide_heap_report_free(address, bytes, call);
    return (struct found){ FOUND_POOLED, pool, bytes };
}

static struct found find_in_arena(const void *address, const char *call)
{
    struct pool *pool;

    if (tide_slot_of(address) < TIDE_HEADER_SLOTS)
        report_records(address, call);
    pool = tide_pool_of(address);
    switch (tide_relaxed(&pool->state)) {
    case POOL_USED:
    case POOL_FULL:
        return find_pooled(pool, address, call);
    case POOL_RUN:
        if (tide_pool_start(pool) != address)
            report_inside(address, tide_pool_start(pool), tide_pool_bytes(pool), call);
        return (struct found){ FOUND_RUN, pool, tide_pool_bytes(pool) };
    default:
        tide_base_misuse(call, address, "already free, or never allocated");
    }
}

struct found tide_heap_find(const void *address, const char *call)
{
    const struct huge *huge;

    switch (tide_memory_at(address)) {
    case TIDE_ARENA:
        return find_in_arena(address, call);
    case TIDE_FOREIGN:
        tide_base_misuse(call, address, "not a tidepool block: no memory of tidepool's is there");
    default:
        break;
    }
    huge = tide_huge_at(address);
    if (!huge)
        tide_base_misuse(call, address, "not a tidepool block: a huge block is near");
    if ((const char *)address < huge->block)
        report_records(address, call);
    if (huge->block != address)
        report_inside(address, huge->block, tide_huge_usable(huge), call);
    if (huge->is_cached)
        tide_heap_report_free(address, tide_huge_usable(huge), call);
    return (struct found){ FOUND_HUGE, NULL, tide_huge_usable(huge) };
}
