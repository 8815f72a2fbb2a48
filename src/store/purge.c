/* store/purge.c - see purge.h */
#include "store/purge.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/options.h"
#include "os/limits.h"
#include "os/map.h"
#include "os/thread.h"
#include "store/ranges.h"
#include "store/store.h"

#define UNMAPPED_BYTES ((size_t)64 << 20) /* stretches that keep no page tables */

enum {
    UNMAP_DECAYS = 10, /* times TIDEPOOL_DECAY_MS */
    DIRTY_SHARE = 8,   /* of what is used, a part in so many is dirty and nobody minds */
};

/* The oldest of a state that is as old as that, and as long. */
static struct tide_range *find_oldest(enum tide_range_state state, uint64_t newest, size_t least)
{
    struct tide_range *range = tide_ranges[state].oldest;

    while (range && tide_relaxed(&range->stamp) <= newest && range->bytes < least)
        range = range->newer;
    return range && tide_relaxed(&range->stamp) <= newest ? range : NULL;
}

/* Takes it out, or no more than so many bytes of it: it is busy then. */
static struct tide_range *begin(enum tide_range_state state, uint64_t newest, size_t least,
                                size_t most)
{
    struct tide_range *range, *whole;

    if (!tide_ranges_lock_with(1))
        return NULL;
    range = whole = find_oldest(state, newest, least);
    if (whole && whole->bytes > most) {
        range = tide_ranges_new_piece(whole, tide_range_end(whole) - most, most);
        tide_ranges_cut_back(whole, most);
    } else if (whole) {
        tide_ranges_leave(whole);
    }
    if (range)
        tide_ranges_enter(range, RANGE_BUSY);
    tide_unlock(&tide_ranges_lock);
    return range;
}

/* Pages that were moved left mappings of their own: these become one again. */
static void purge(struct tide_range *range)
{
    if (!range->is_patched || !tide_store_renew(range))
        tide_os_purge(range->start, range->bytes);
}

/* So many of its bytes were dirty. */
static void end(struct tide_range *range, size_t dirty)
{
    tide_lock(&tide_ranges_lock);
    tide_store_count_purged(dirty);
    tide_ranges_leave(range);
    tide_set_relaxed(&range->stamp, tide_os_now_ms());
    tide_ranges_join(range, RANGE_PURGED);
    tide_unlock(&tide_ranges_lock);
}

static size_t purge_oldest(uint64_t newest, size_t most)
{
    struct tide_range *range = begin(RANGE_DIRTY, newest, 0, most);
    size_t bytes;

    if (!range)
        return 0;
    bytes = range->bytes;
    purge(range);
    end(range, bytes);
    return bytes;
}

static void drop(struct tide_range *range)
{
    tide_store_add(&tide_store_mapped, -range->bytes);
    tide_store_add(&tide_store_patches, -(size_t)range->patches);
    tide_lock(&tide_ranges_lock);
    tide_ranges_leave(range);
    tide_ranges_drop(range);
    tide_unlock(&tide_ranges_lock);
}

/* Whether there was one.  What the kernel can't unmap, as that would make too many
 * mappings, waits anew. */
static bool unmap_oldest(uint64_t newest, size_t least)
{
    struct tide_range *range = begin(RANGE_PURGED, newest, least, SIZE_MAX);

    if (!range)
        return false;
    if (tide_os_return(range->start, range->bytes))
        drop(range);
    else
        end(range, 0);
    return true;
}

/* Bytes of a purged stretch that waits to be unmapped. */
static size_t to_unmap(void)
{
    const struct tide_range *range;
    size_t bytes;

    tide_lock(&tide_ranges_lock);
    range = find_oldest(RANGE_PURGED, UINT64_MAX, UNMAPPED_BYTES);
    bytes = range ? range->bytes : 0;
    tide_unlock(&tide_ranges_lock);
    return bytes;
}

static uint64_t ms_ago(int64_t ms)
{
    uint64_t now = tide_os_now_ms();

    return now > (uint64_t)ms ? now - (uint64_t)ms : 0;
}

size_t tide_store_decay(void)
{
    int64_t decay = tide_options.decay_ms;

    if (decay < 0)
        return 0;
    while (purge_oldest(ms_ago(decay), SIZE_MAX) > 0)
        ;
    while (unmap_oldest(ms_ago(UNMAP_DECAYS * decay), UNMAPPED_BYTES))
        ;
    return tide_relaxed(&tide_store_dirty) + to_unmap();
}

size_t tide_store_purge(size_t keep, size_t most)
{
    size_t returned = 0, dirty, bytes, surplus;

    while (returned < most && (dirty = tide_relaxed(&tide_store_dirty)) > keep) {
        surplus = tide_round_up(dirty - keep, tide_os_page_bytes);
        bytes = purge_oldest(UINT64_MAX, surplus < most - returned ? surplus : most - returned);
        returned += bytes;
        if (bytes == 0)
            break;
    }
    return returned;
}

void tide_store_unmap(void)
{
    for (size_t count = tide_store_totals().purged_ranges; count > 0; count--)
        unmap_oldest(UINT64_MAX, 0);
}

void tide_store_make_up(size_t bytes)
{
    size_t dirty = tide_relaxed(&tide_store_dirty);

    if (bytes > 0 && dirty > tide_relaxed(&tide_store_used) / DIRTY_SHARE)
        tide_store_purge(dirty > bytes ? dirty - bytes : 0, bytes);
}

/* ---- Fork ------------------------------------------------------------------ */

void tide_store_after_fork_in_child(void)
{
    struct tide_range *range;

    while ((range = tide_ranges[RANGE_BUSY].oldest)) {
        tide_ranges_leave(range);
        tide_ranges_join(range, RANGE_DIRTY);
    }
}

/* ---- Without handlers ------------------------------------------------------ */

/* Those that are busy may be there no more. */
void tide_store_mend_in_child(void)
{
    struct tide_range *range;

    if (tide_lock_try(&tide_ranges_lock)) {
        while ((range = tide_ranges[RANGE_BUSY].oldest)) {
            tide_ranges_leave(range);
            tide_store_count_purged(range->bytes);
        }
        tide_unlock(&tide_ranges_lock);
        return;
    }
    tide_ranges_mend();
    tide_store_count_purged(tide_relaxed(&tide_store_dirty));
}
