/* check/inspect.c - see inspect.h */
#include "check/inspect.h"

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "pool/pool.h"
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

void tide_check_report_free(const void *address, size_t bytes, const char *call)
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
        tide_check_report_free(address, bytes, call);
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
    if (!tide_range_is_live(&range))
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
    if (!tide_range_is_live(range))
        tide_base_misuse(call, address, "already free: a large block");
    return (struct found){ .kind = FOUND_LARGE, .range = range, .bytes = range->bytes };
}

struct found tide_check_find(const void *address, const char *call)
{
    return tide_is_in_arena(address) ? find_in_arena(address, call) : find_large(address, call);
}

/* ---- Blocks in free lists ------------------------------------------------ */

/* The common heap's blocks of a cache line serve smaller sizes. */
static bool is_block(const void *address, unsigned size_class)
{
    const struct pool *pool;
    unsigned found;

    if (!tide_is_in_arena(address) || tide_slot_of(address) < TIDE_HEADER_SLOTS)
        return false;
    pool = tide_pool_of(address);
    found = tide_relaxed(&pool->size_class);
    return tide_relaxed(&pool->owner) && tide_pool_has_block(pool, address) &&
           (found == size_class || (size_class < TIDE_LINE_CLASS && found == TIDE_LINE_CLASS));
}

void tide_check_taken(const struct block *block, unsigned size_class)
{
    unsigned bytes = tide_pool_of(block)->block_bytes;

    if (block->next && !is_block(block->next, size_class))
        tide_base_fatal("the freed block %p of %u bytes was written to: its first word is %p",
                        (const void *)block, bytes, (void *)block->next);
    if (tide_arena_mark_live(block))
        tide_base_fatal("the free list of %u-byte blocks holds %p, which is allocated: a freed "
                        "block was written to",
                        bytes, (const void *)block);
}
