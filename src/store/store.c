/* store/store.c - see store.h: taking, putting back, changing.  Purging is in purge.c,
 * what ranges there are in ranges.c. */
#include "store/store.h"

#include <errno.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/fatal.h"
#include "base/geometry.h"
#include "base/lock.h"
#include "os/huge_pages.h"
#include "os/limits.h"
#include "os/map.h"
#include "os/thread.h"
#include "os/topology.h"
#include "store/page_map.h"
#include "store/ranges.h"

/* What the OS is asked for: whole grains. */
#define GRAIN_BYTES TIDE_ARENA_BYTES
#define MOST_AHEAD_BYTES ((size_t)1 << 30)

enum {
    AHEAD_SHARE = 8,       /* a part of what there is, in so many, is mapped ahead at most */
    MOST_GROWS = 4,        /* tries to keep what was mapped from other threads */
    MUCH = 4,              /* a part of what is asked for, in so many */
    MOST_PATCHES = 4096,   /* of the 65,530 mappings that the kernel allows by default */
};

_Atomic size_t tide_store_used, tide_store_dirty, tide_store_patches;

static _Atomic size_t mapped; /* bytes */
static _Atomic size_t grown;
static unsigned first_node;   /* home 0's; constant once nodes are used */

void tide_store_start(struct tide_lock *global)
{
    if (global)
        tide_ranges_lock = global;
}

/* The node that things were on before nodes were known is home 0. */
static unsigned home_of(unsigned node)
{
    return node == first_node ? 0 : node == 0 ? first_node : node;
}

/* ---- Counts ---------------------------------------------------------------- */

static void add_to(_Atomic size_t *count, size_t bytes)
{
    atomic_fetch_add_explicit(count, bytes, memory_order_relaxed);
}

/* Takes from the limit what has no pages yet. */
static bool count_used(size_t bytes, size_t dirty)
{
    if (!tide_os_limits_take(bytes - dirty))
        return false;
    add_to(&tide_store_used, bytes);
    add_to(&tide_store_dirty, -dirty);
    return true;
}

static void count_put(size_t bytes, enum tide_range_state state)
{
    add_to(&tide_store_used, -bytes);
    if (state == RANGE_DIRTY)
        add_to(&tide_store_dirty, bytes);
    else
        tide_os_limits_put(bytes);
}

void tide_store_count_purged(size_t bytes)
{
    add_to(&tide_store_dirty, -bytes);
    tide_os_limits_put(bytes);
}

void tide_store_count_unmapped(size_t bytes)
{
    add_to(&mapped, -bytes);
}

/* ---- Growing -------------------------------------------------------------- */

/* Enters what came from the OS. */
static bool add(char *start, size_t bytes, unsigned home)
{
    struct tide_range *range;

    if (!tide_page_map_cover(start, bytes) || !tide_ranges_lock_with(1)) {
        tide_os_return(start, bytes);
        return false;
    }
    range = tide_ranges_new();
    range->start = start;
    range->bytes = bytes;
    range->home = (uint8_t)home;
    range->stamp = tide_os_now_ms();
    tide_ranges_join(range, RANGE_PURGED);
    tide_unlock(tide_ranges_lock);
    add_to(&mapped, bytes);
    add_to(&grown, 1);
    return true;
}

/* The first piece of a small program is half a grain, if that will do. */
static size_t least_growth(size_t bytes, size_t alignment)
{
    if (tide_relaxed(&mapped) == 0 && bytes <= GRAIN_BYTES / 2)
        return GRAIN_BYTES / 2;
    return tide_round_up(bytes + (alignment > GRAIN_BYTES ? alignment : 0), GRAIN_BYTES);
}

/* What more there is, the more is mapped ahead. */
static size_t growth_ahead(void)
{
    size_t share = tide_relaxed(&mapped) / AHEAD_SHARE;

    share = share < MOST_AHEAD_BYTES ? share : MOST_AHEAD_BYTES;
    return tide_round_down(share, GRAIN_BYTES);
}

static bool grow(const struct tide_request *request)
{
    size_t least = least_growth(request->bytes, request->alignment), ahead = growth_ahead();
    size_t bytes = ahead > least ? ahead : least;
    char *start = tide_os_obtain(bytes, GRAIN_BYTES);

    if (!start && bytes > least)
        start = tide_os_obtain(bytes = least, GRAIN_BYTES);
    if (!start)
        return false;
    tide_os_bind(start, bytes, request->node);
    tide_os_advise_huge_pages(start, bytes);
    return add(start, bytes, home_of(request->node));
}

/* ---- Taking --------------------------------------------------------------- */

/* Cuts a range of so many bytes out of a free one; what is left on both sides stays free
 * and keeps its age. */
static struct tide_range *cut(struct tide_range *from, size_t bytes, size_t alignment)
{
    size_t lead = -(uintptr_t)from->start & (alignment - 1);
    struct tide_range *range = tide_ranges_new(), *front;

    range->start = from->start + lead;
    range->bytes = bytes;
    range->home = from->home;
    range->patches = from->patches;
    range->state = RANGE_USED;
    from->patches = 0;
    if (from->bytes == bytes) {
        tide_ranges_leave(from);
        tide_ranges_drop(from);
    } else if (from->bytes == lead + bytes) {
        tide_ranges_cut_back(from, bytes);
    } else if (lead == 0) {
        tide_ranges_cut_front(from, bytes);
    } else {
        front = tide_ranges_new();
        front->start = from->start;
        front->bytes = lead;
        front->home = from->home;
        tide_ranges_cut_front(from, lead + bytes);
        tide_ranges_enter_beside(front, from);
    }
    return range;
}

/* Free bytes in a row from address on, as many as are wanted; *dirty becomes how many of
 * them are dirty. */
static size_t survey(const char *address, unsigned home, size_t wanted, size_t *dirty)
{
    const struct tide_range *range;
    size_t bytes = 0, more;

    *dirty = 0;
    while (bytes < wanted && (range = tide_ranges_free_at(address + bytes, home))) {
        more = range->bytes < wanted - bytes ? range->bytes : wanted - bytes;
        *dirty += range->state == RANGE_DIRTY ? more : 0;
        bytes += more;
    }
    return bytes;
}

/* The range gets what is free behind it, as much as is wanted, which there is. */
static void take_behind(struct tide_range *range, size_t wanted)
{
    while (wanted > 0) {
        struct tide_range *front = tide_ranges_free_at(tide_range_end(range), range->home);
        size_t bytes = front->bytes < wanted ? front->bytes : wanted;

        if (bytes < front->bytes) {
            tide_ranges_cut_front(front, bytes);
        } else {
            tide_ranges_leave(front);
            tide_ranges_drop(front);
        }
        tide_ranges_resize(range, range->bytes + bytes);
        wanted -= bytes;
    }
}

/* What is asked for, and what comes of it. */
struct taking {
    const struct tide_request *request;
    size_t replaced; /* bytes of a range that it is to replace; then it is all zero */
    size_t fresh;    /* bytes that have no pages */
    bool is_refused; /* by the limit */
};

static bool count_taken(struct taking *taking, size_t dirty)
{
    taking->fresh = taking->request->bytes - dirty;
    taking->is_refused = !count_used(taking->request->bytes - taking->replaced, dirty);
    return !taking->is_refused;
}

static struct tide_range *take_one(struct taking *taking, enum tide_range_state state)
{
    const struct tide_request *request = taking->request;
    struct tide_range *range = tide_ranges_fit(state, home_of(request->node), request->bytes,
                                               request->alignment);

    if (!range || !count_taken(taking, state == RANGE_DIRTY ? request->bytes : 0))
        return NULL;
    return cut(range, request->bytes, request->alignment);
}

/* The largest dirty range with what is free around it, if it is much of what is asked
 * for: no larger one is to be had, and its pages would be of no use. */
static struct tide_range *take_mixed(struct taking *taking)
{
    size_t bytes = taking->request->bytes, missing, dirty, some;
    unsigned home = home_of(taking->request->node);
    struct tide_range *largest = tide_ranges_largest(RANGE_DIRTY, home), *first, *front, *range;
    char *start;

    if (!largest || largest->bytes < bytes / MUCH || taking->request->alignment > tide_os_page_bytes)
        return NULL;
    start = largest->start;
    missing = bytes - survey(start, home, bytes, &dirty);
    for (first = largest; missing > 0 && (front = tide_ranges_free_before(start, home));
         first = front) {
        some = front->bytes < missing ? front->bytes : missing;
        dirty += front->state == RANGE_DIRTY ? some : 0;
        start -= some;
        missing -= some;
    }
    if (missing > 0 || !count_taken(taking, dirty))
        return NULL;
    range = tide_ranges_new();
    range->start = start;
    range->home = (uint8_t)home;
    range->state = RANGE_USED;
    if (start > first->start) {
        range->bytes = (size_t)(tide_range_end(first) - start);
        tide_ranges_cut_back(first, range->bytes);
    }
    take_behind(range, bytes - range->bytes);
    return range;
}

static struct tide_range *take_suitable(struct taking *taking)
{
    struct tide_range *range;

    if (taking->replaced > 0)
        return take_one(taking, RANGE_PURGED);
    if (taking->request->is_zero_wanted) {
        range = take_one(taking, RANGE_PURGED);
        return range ? range : take_one(taking, RANGE_DIRTY);
    }
    range = take_one(taking, RANGE_DIRTY);
    if (!range)
        range = take_mixed(taking);
    return range ? range : take_one(taking, RANGE_PURGED);
}

/* Under the lock. */
static struct tide_range *take_free(struct taking *taking)
{
    struct tide_range *range = take_suitable(taking);

    if (range && taking->request->state == RANGE_BLOCK)
        tide_ranges_enter(range, RANGE_BLOCK);
    return range;
}

static struct tide_range *take(struct taking *taking)
{
    struct tide_range *range;

    for (int tries = 0; tries < MOST_GROWS; tries++) {
        if (!tide_ranges_lock_with(2))
            break;
        taking->is_refused = false;
        range = take_free(taking);
        tide_unlock(tide_ranges_lock);
        if (range)
            return range;
        if (taking->is_refused || !grow(taking->request))
            break;
    }
    errno = ENOMEM;
    return NULL;
}

struct tide_range *tide_store_take(const struct tide_request *request, size_t *fresh)
{
    struct taking taking = { .request = request };
    int saved_errno = errno;
    struct tide_range *range = take(&taking);

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
    range->stamp = tide_os_now_ms();
    tide_ranges_join(range, state);
}

void tide_store_put(struct tide_range *range, enum tide_range_state state)
{
    tide_lock(tide_ranges_lock);
    count_put(range->bytes, state);
    put(range, state);
    tide_unlock(tide_ranges_lock);
}

bool tide_store_shrink(struct tide_range *range, size_t bytes)
{
    struct tide_range *tail;

    if (!tide_ranges_lock_with(1))
        return false;
    tail = tide_ranges_new();
    tail->start = range->start + bytes;
    tail->bytes = range->bytes - bytes;
    tail->home = range->home;
    tail->state = RANGE_USED;
    tide_ranges_resize(range, bytes);
    count_put(tail->bytes, RANGE_DIRTY);
    put(tail, RANGE_DIRTY);
    tide_unlock(tide_ranges_lock);
    return true;
}

/* ---- Growing where it is -------------------------------------------------- */

/* Under the lock. */
static bool extend(struct tide_range *range, size_t bytes, size_t *fresh)
{
    size_t wanted = bytes - range->bytes, dirty;

    if (survey(tide_range_end(range), range->home, wanted, &dirty) < wanted ||
        !count_used(wanted, dirty))
        return false;
    *fresh = wanted - dirty;
    take_behind(range, wanted);
    return true;
}

/* Maps what follows a range, if nothing of anyone's is there. */
static bool grow_behind(const struct tide_range *range, size_t bytes)
{
    char *end = tide_range_end(range);
    size_t growth = tide_round_up((uintptr_t)end + bytes, GRAIN_BYTES) - (uintptr_t)end;

    if (tide_page_map_get(end) || !tide_os_obtain_at(end, growth))
        return false;
    tide_os_advise_huge_pages(end, growth);
    return add(end, growth, range->home);
}

bool tide_store_extend(struct tide_range *range, size_t bytes, size_t *fresh)
{
    int saved_errno = errno;
    bool is_done = false;

    for (int tries = 0; tries < MOST_GROWS && !is_done; tries++) {
        tide_lock(tide_ranges_lock);
        is_done = extend(range, bytes, fresh);
        tide_unlock(tide_ranges_lock);
        if (!is_done && !grow_behind(range, bytes - range->bytes))
            break;
    }
    errno = saved_errno;
    if (is_done)
        tide_os_limits_note_mapped();
    return is_done;
}

/* ---- Moving --------------------------------------------------------------- */

/* Undoes the taking of a range that was to replace one. */
static void put_target(struct tide_range *target, size_t replaced)
{
    tide_lock(tide_ranges_lock);
    count_put(target->bytes - replaced, RANGE_PURGED);
    put(target, RANGE_PURGED);
    tide_unlock(tide_ranges_lock);
}

static void replace(struct tide_range *range, struct tide_range *target)
{
    tide_lock(tide_ranges_lock);
    target->patches++;
    put(range, RANGE_PURGED);
    tide_unlock(tide_ranges_lock);
    add_to(&tide_store_patches, 1);
}

struct tide_range *tide_store_move(struct tide_range *range, size_t bytes)
{
    struct tide_request request = { bytes, tide_os_page_bytes, home_of(range->home), RANGE_BLOCK,
                                    true };
    struct taking taking = { .request = &request, .replaced = range->bytes };
    struct tide_range *target;

    if (tide_relaxed(&tide_store_patches) >= MOST_PATCHES)
        return NULL;
    target = take(&taking);
    if (!target)
        return NULL;
    if (!tide_os_move_pages(range->start, range->bytes, target->start)) {
        put_target(target, range->bytes);
        return NULL;
    }
    replace(range, target);
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

    tide_lock(tide_ranges_lock);
    for (unsigned state = 0; state < RANGE_USED && !is_found; state++)
        for (struct tide_range *range = tide_ranges[state].oldest; range && !is_found;
             range = range->newer)
            if ((const char *)address >= range->start &&
                (const char *)address < tide_range_end(range)) {
                *found = *range;
                is_found = true;
            }
    tide_unlock(tide_ranges_lock);
    return is_found;
}

struct tide_store_totals tide_store_totals(void)
{
    struct tide_store_totals totals;

    tide_lock(tide_ranges_lock);
    totals = (struct tide_store_totals){
        .blocks = tide_ranges[RANGE_BLOCK].count,
        .block_bytes = tide_ranges[RANGE_BLOCK].bytes,
        .dirty_ranges = tide_ranges[RANGE_DIRTY].count + tide_ranges[RANGE_BUSY].count,
        .dirty_bytes = tide_ranges[RANGE_DIRTY].bytes + tide_ranges[RANGE_BUSY].bytes,
        .purged_ranges = tide_ranges[RANGE_PURGED].count,
        .purged_bytes = tide_ranges[RANGE_PURGED].bytes,
        .grown = tide_relaxed(&grown),
    };
    tide_unlock(tide_ranges_lock);
    return totals;
}

void tide_store_use_nodes(unsigned first)
{
    first_node = first;
}

struct tide_lock *tide_store_lock(void)
{
    return tide_ranges_lock;
}

void tide_store_check(void)
{
    tide_lock(tide_ranges_lock);
    tide_ranges_check();
    TIDE_REQUIRE(tide_relaxed(&tide_store_dirty) >= tide_ranges[RANGE_DIRTY].bytes);
    TIDE_REQUIRE(tide_relaxed(&tide_store_used) >= tide_ranges[RANGE_BLOCK].bytes);
    tide_unlock(tide_ranges_lock);
}
