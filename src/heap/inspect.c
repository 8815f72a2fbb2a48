/* heap/inspect.c - see inspect.h */
#include "heap/inspect.h"

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "store/store.h"

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
    return (struct found){ .kind = FOUND_POOLED, .pool = pool, .bytes = bytes };
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
    default:
        tide_base_misuse(call, address, "already free, or never allocated");
    }
}

static _Noreturn void report_other(const void *address, const char *call)
{
    struct tide_range range;

    if (!tide_store_find(address, &range))
        tide_base_misuse(call, address, "not a tidepool block: no memory of tidepool's is there");
    if (range.state != RANGE_BLOCK)
        tide_base_misuse(call, address, "already free, or never allocated");
    report_inside(address, range.start, range.bytes, call);
}

/* That it is free is seen as long as its memory has no other use, and isn't part of a
 * larger free range. */
static struct found find_large(const void *address, const char *call)
{
    struct tide_range *range = tide_store_block(address);

    if (!range)
        report_other(address, call);
    if (range->state != RANGE_BLOCK)
        tide_base_misuse(call, address, "already free: a large block");
    return (struct found){ .kind = FOUND_LARGE, .range = range, .bytes = range->bytes };
}

struct found tide_heap_find(const void *address, const char *call)
{
    return tide_is_in_arena(address) ? find_in_arena(address, call) : find_large(address, call);
}
