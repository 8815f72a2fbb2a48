/* store/grow.c - see grow.h */
#include "store/grow.h"

#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"
#include "base/lock.h"
#include "machine/topology.h"
#include "os/huge_pages.h"
#include "os/map.h"
#include "os/thread.h"
#include "store/page_map.h"
#include "store/ranges.h"

/* What the OS is asked for: whole grains, small ones while there is little. */
#define GRAIN_BYTES TIDE_ARENA_BYTES
#define SMALL_GRAIN_BYTES (TIDE_ARENA_BYTES / 4)
#define LITTLE_BYTES (2 * TIDE_ARENA_BYTES)
#define MOST_AHEAD_BYTES ((size_t)1 << 30)

enum { AHEAD_SHARE = 8 }; /* a part of what there is, in so many, is mapped ahead at most */

static _Atomic unsigned first_node; /* home 0's */

void tide_store_use_nodes(unsigned first)
{
    tide_set_relaxed(&first_node, first);
}

unsigned tide_store_home(unsigned node)
{
    unsigned first = tide_relaxed(&first_node);

    return node == first ? 0 : node == 0 ? first : node;
}

/* Enters what came from the OS; then the caller has the lock.  NULL and ENOMEM, without
 * the lock, when there is no memory for records. */
static struct tide_range *add(char *start, size_t bytes, unsigned home)
{
    struct tide_range *range;

    if (!tide_page_map_cover(start, bytes) || !tide_ranges_lock_with(1 + TIDE_CUT_RECORDS)) {
        tide_os_return(start, bytes);
        return NULL;
    }
    range = tide_ranges_new();
    range->start = start;
    range->bytes = bytes;
    range->home = (uint8_t)home;
    tide_set_relaxed(&range->stamp, tide_os_now_ms());
    tide_store_add(&tide_store_mapped, bytes);
    tide_store_add(&tide_store_grown, 1);
    return tide_ranges_join(range, RANGE_PURGED);
}

static size_t grain_bytes(void)
{
    return tide_relaxed(&tide_store_mapped) < LITTLE_BYTES ? SMALL_GRAIN_BYTES : GRAIN_BYTES;
}

/* The more there is, the more is mapped ahead. */
static size_t growth_ahead(void)
{
    size_t share = tide_relaxed(&tide_store_mapped) / AHEAD_SHARE;

    share = share < MOST_AHEAD_BYTES ? share : MOST_AHEAD_BYTES;
    return tide_round_down(share, GRAIN_BYTES);
}

struct tide_range *tide_store_grow(const struct tide_request *request, char **place)
{
    size_t grain = grain_bytes(), least = tide_round_up(request->bytes, grain);
    size_t alignment = request->alignment > grain ? request->alignment : grain;
    size_t ahead = growth_ahead(), bytes = ahead > least ? ahead : least;

    *place = tide_os_obtain(bytes, alignment);
    if (!*place && bytes > least)
        *place = tide_os_obtain(bytes = least, alignment);
    if (!*place)
        return NULL;
    tide_machine_bind(*place, bytes, request->node);
    tide_os_advise_huge_pages(*place, bytes);
    return add(*place, bytes, tide_store_home(request->node));
}

bool tide_store_grow_behind(const struct tide_range *range, size_t bytes)
{
    char *end = tide_range_end(range);
    size_t growth = tide_round_up((uintptr_t)end + bytes, grain_bytes()) - (uintptr_t)end;

    if (tide_page_map_get(end) || !tide_os_obtain_at(end, growth))
        return false;
    tide_machine_bind(end, growth, tide_store_home(range->home));
    tide_os_advise_huge_pages(end, growth);
    if (!add(end, growth, range->home))
        return false;
    tide_unlock(&tide_ranges_lock);
    return true;
}
