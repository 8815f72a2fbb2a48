/* store/store.c - see store.h: the verbs.  What ranges there are is in ranges.c, how one
 * is found in take.c, purging in purge.c. */
#include "store/store.h"

#include <errno.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "machine/topology.h"
#include "os/huge_pages.h"
#include "os/limits.h"
#include "os/map.h"
#include "os/thread.h"
#include "store/grow.h"
#include "store/page_map.h"
#include "store/ranges.h"
#include "store/take.h"

enum {
    MOST_GROWS = 4,      /* tries to keep what was mapped from other threads */
    MOST_PATCHES = 4096, /* with up to 4 mappings each, of 65,530 */
};

struct tide_range *tide_store_take(const struct tide_request *request, size_t *fresh)
{
    struct tide_taking taking = { .request = request };
    int saved_errno = errno;
    struct tide_range *range = tide_take(&taking);

    *fresh = taking.fresh;
    if (range) {
        errno = saved_errno;
        tide_os_limits_note_mapped();
    }
    return range;
}

/* ---- Putting back --------------------------------------------------------- */

/* Under the lock. */
static void put(struct tide_range *range, enum tide_range_state state)
{
    if (range->state == RANGE_BLOCK)
        tide_ranges_leave(range);
    range->copy = tide_ranges_copy;
    tide_set_relaxed(&range->stamp, tide_os_now_ms());
    tide_ranges_join(range, state);
}

void tide_store_put(struct tide_range *range, enum tide_range_state state)
{
    tide_lock(&tide_ranges_lock);
    tide_store_count_free(range->bytes, state);
    put(range, state);
    tide_unlock(&tide_ranges_lock);
}

bool tide_store_shrink(struct tide_range *range, size_t bytes)
{
    struct tide_range *tail;

    if (!tide_ranges_lock_with(1))
        return false;
    tail = tide_ranges_new_piece(range, range->start + bytes, range->bytes - bytes);
    tide_ranges_resize(range, bytes);
    tide_store_count_free(tail->bytes, RANGE_DIRTY);
    put(tail, RANGE_DIRTY);
    tide_unlock(&tide_ranges_lock);
    return true;
}

/* ---- Growing where it is -------------------------------------------------- */

/* Under the lock. */
static bool extend(struct tide_range *range, size_t bytes, size_t *fresh)
{
    size_t wanted = bytes - range->bytes, dirty;

    if (tide_take_survey(tide_range_end(range), range->home, wanted, &dirty) < wanted ||
        !tide_store_count_used(wanted, dirty))
        return false;
    *fresh = wanted - dirty;
    tide_take_behind(range, wanted);
    return true;
}

bool tide_store_extend(struct tide_range *range, size_t bytes, size_t *fresh)
{
    int saved_errno = errno;
    bool is_done = false;

    for (int tries = 0; tries < MOST_GROWS && !is_done; tries++) {
        tide_lock(&tide_ranges_lock);
        is_done = extend(range, bytes, fresh);
        tide_unlock(&tide_ranges_lock);
        if (!is_done && !tide_store_grow_behind(range, bytes - range->bytes))
            break;
    }
    errno = saved_errno;
    if (is_done)
        tide_os_limits_note_mapped();
    return is_done;
}

/* ---- Moving --------------------------------------------------------------- */

/* As it came from the OS. */
static bool renew(char *start, size_t bytes, unsigned home)
{
    if (!tide_os_renew(start, bytes))
        return false;
    tide_machine_bind(start, bytes, tide_store_home(home));
    tide_os_advise_huge_pages(start, bytes);
    return true;
}

bool tide_store_renew(struct tide_range *range)
{
    if (!renew(range->start, range->bytes, range->home))
        return false;
    tide_lock(&tide_ranges_lock);
    tide_store_add(&tide_store_patches, -(size_t)range->patches);
    range->patches = 0;
    range->is_patched = false;
    tide_unlock(&tide_ranges_lock);
    return true;
}

/* Undoes the taking of a range that was to replace one; so much of its front is lost. */
static void put_target(struct tide_range *target, size_t replaced, size_t lost)
{
    tide_lock(&tide_ranges_lock);
    tide_store_count_free(target->bytes - replaced, RANGE_PURGED);
    tide_ranges_leave(target);
    target->state = RANGE_USED;
    target->start += lost;
    target->bytes -= lost;
    put(target, RANGE_PURGED);
    tide_unlock(&tide_ranges_lock);
    tide_store_add(&tide_store_mapped, -lost);
}

/* Where the pages were is one mapping again. */
static void replace(struct tide_range *range)
{
    if (range->is_patched)
        tide_store_renew(range);
    tide_lock(&tide_ranges_lock);
    put(range, RANGE_PURGED);
    tide_unlock(&tide_ranges_lock);
}

bool tide_store_may_patch(struct tide_range *range)
{
    if (tide_relaxed(&tide_store_patches) >= MOST_PATCHES)
        return false;
    tide_lock(&tide_ranges_lock); /* others may read the record */
    range->patches++;
    range->is_patched = true;
    tide_unlock(&tide_ranges_lock);
    tide_store_add(&tide_store_patches, 1);
    return true;
}

struct tide_range *tide_store_move(struct tide_range *range, size_t bytes)
{
    struct tide_request request = { bytes, tide_os_page_bytes, tide_store_home(range->home),
                                    RANGE_BLOCK, true };
    struct tide_taking taking = { .request = &request, .replaced = range->bytes };
    struct tide_range *target;

    target = tide_take(&taking);
    if (!target)
        return NULL;
    if (!tide_store_may_patch(target)) {
        put_target(target, range->bytes, 0);
        return NULL;
    }
    if (!tide_os_move_pages(range->start, range->bytes, target->start)) {
        /* the kernel unmaps where pages are to go before it sees that they can't */
        bool is_whole = renew(target->start, range->bytes, target->home);

        put_target(target, range->bytes, is_whole ? 0 : range->bytes);
        return NULL;
    }
    replace(range);
    tide_os_limits_note_mapped();
    return target;
}

/* ---- Asking ---------------------------------------------------------------- */

struct tide_range *tide_store_block(const void *address)
{
    struct tide_range *range = tide_page_map_get(address);

    return range && range->start == address ? range : NULL;
}

bool tide_store_find(const void *address, struct tide_range *found)
{
    bool is_found = false;

    tide_lock(&tide_ranges_lock);
    for (unsigned state = 0; state < RANGE_USED && !is_found; state++)
        for (struct tide_range *range = tide_ranges[state].oldest; range && !is_found;
             range = range->newer)
            if ((const char *)address >= range->start &&
                (const char *)address < tide_range_end(range)) {
                found->start = range->start;
                found->bytes = range->bytes;
                found->state = range->state;
                tide_set_relaxed(&found->stamp, tide_relaxed(&range->stamp));
                is_found = true;
            }
    tide_unlock(&tide_ranges_lock);
    return is_found;
}

struct tide_store_totals tide_store_totals(void)
{
    struct tide_store_totals totals;

    tide_lock(&tide_ranges_lock);
    totals = (struct tide_store_totals){
        .blocks = tide_ranges[RANGE_BLOCK].count,
        .block_bytes = tide_ranges[RANGE_BLOCK].bytes,
        .dirty_ranges = tide_ranges[RANGE_DIRTY].count + tide_ranges[RANGE_BUSY].count,
        .dirty_bytes = tide_ranges[RANGE_DIRTY].bytes + tide_ranges[RANGE_BUSY].bytes,
        .purged_ranges = tide_ranges[RANGE_PURGED].count,
        .purged_bytes = tide_ranges[RANGE_PURGED].bytes,
        .grown = tide_relaxed(&tide_store_grown),
    };
    tide_unlock(&tide_ranges_lock);
    return totals;
}

struct tide_lock *tide_store_lock(void)
{
    return &tide_ranges_lock;
}

void tide_store_check(void)
{
    tide_lock(&tide_ranges_lock);
    tide_ranges_check();
    TIDE_REQUIRE(tide_relaxed(&tide_store_dirty) >= tide_ranges[RANGE_DIRTY].bytes);
    TIDE_REQUIRE(tide_relaxed(&tide_store_used) >= tide_ranges[RANGE_BLOCK].bytes);
    tide_unlock(&tide_ranges_lock);
}
