/* large/large.c - see large.h */
#include "large/large.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "large/cache.h"
#include "machine/topology.h"
#include "os/map.h"
#include "store/purge.h"
#include "store/store.h"

enum { SIZES_PER_DOUBLING = 8 };

/* From so many bytes on, moving pages is cheaper than copying, and giving them back than
 * writing to them. */
#define MOVED_BYTES ((size_t)1 << 20)

size_t tide_large_good_size(size_t size)
{
    size_t step;

    if (size <= tide_os_page_bytes)
        return tide_os_page_bytes;
    step = ((size_t)1 << tide_log2(size - 1)) / SIZES_PER_DOUBLING;
    return tide_round_up(size, step > tide_os_page_bytes ? step : tide_os_page_bytes);
}

void *tide_large_malloc(size_t size, size_t alignment, bool is_zero_wanted, size_t *fresh)
{
    struct tide_request request = {
        .alignment = alignment > tide_os_page_bytes ? alignment : tide_os_page_bytes,
        .node = tide_machine_node_now(),
        .state = RANGE_BLOCK,
        .is_zero_wanted = is_zero_wanted,
    };
    struct tide_range *block;

    if (size > PTRDIFF_MAX || request.alignment > PTRDIFF_MAX - size) {
        errno = ENOMEM;
        return NULL;
    }
    request.bytes = tide_large_good_size(size);
    *fresh = 0;
    block = tide_large_cache_take(&request);
    if (block)
        return block->start;
    block = tide_store_take(&request, fresh);
    if (!block)
        return NULL;
    tide_store_make_up(*fresh);
    return block->start;
}

void tide_large_free(struct tide_range *block)
{
    tide_large_cache_put(block);
}

/* Where it is, or as a block that is moved. */
static struct tide_range *grow(struct tide_range *block, size_t bytes)
{
    size_t fresh;

    if (tide_store_extend(block, bytes, &fresh)) {
        tide_store_make_up(fresh);
        return block;
    }
    return block->bytes >= MOVED_BYTES ? tide_store_move(block, bytes) : NULL;
}

void *tide_large_resize(struct tide_range *block, size_t size)
{
    size_t bytes;

    if (size > PTRDIFF_MAX)
        return NULL;
    bytes = tide_large_good_size(size);
    if (bytes < block->bytes)
        tide_store_shrink(block, bytes); /* or it keeps what it has */
    else if (bytes > block->bytes)
        block = grow(block, bytes);
    return block ? block->start : NULL;
}

void tide_large_clear(const struct tide_range *block)
{
    if (block->bytes >= MOVED_BYTES)
        tide_os_purge(block->start, block->bytes);
    else
        memset(block->start, 0, block->bytes);
}
