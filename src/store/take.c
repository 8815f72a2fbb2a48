/* store/take.c - see take.h */
#include "store/take.h"

#include <errno.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/lock.h"
#include "os/map.h"
#include "store/grow.h"
#include "store/ranges.h"

enum { MUCH = 4 }; /* a part of what is asked for, in so many */

/* Cuts a range out of a free one, with two records; what is left on both sides stays free
 * and keeps its age. */
static struct tide_range *cut(struct tide_range *from, char *start, size_t bytes)
{
    size_t lead = (size_t)(start - from->start);
    struct tide_range *range = tide_ranges_new_piece(from, start, bytes), *front;

    range->patches = from->patches;
    from->patches = 0;
    if (from->bytes == bytes) {
        tide_ranges_leave(from);
        tide_ranges_drop(from);
    } else if (from->bytes == lead + bytes) {
        tide_ranges_cut_back(from, bytes);
    } else if (lead == 0) {
        tide_ranges_cut_front(from, bytes);
    } else {
        front = tide_ranges_new_piece(from, from->start, lead);
        tide_ranges_cut_front(from, lead + bytes);
        tide_ranges_enter_beside(front, from);
    }
    return range;
}

size_t tide_take_survey(const char *address, unsigned home, size_t wanted, size_t *dirty)
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

void tide_take_behind(struct tide_range *range, size_t wanted)
{
    while (wanted > 0) {
        struct tide_range *front = tide_ranges_free_at(tide_range_end(range), range->home);
        size_t bytes = front->bytes < wanted ? front->bytes : wanted;

        range->is_patched |= front->is_patched;
        if (bytes < front->bytes) {
            tide_ranges_cut_front(front, bytes);
        } else {
            range->patches += front->patches;
            tide_ranges_leave(front);
            tide_ranges_drop(front);
        }
        tide_ranges_resize(range, range->bytes + bytes);
        wanted -= bytes;
    }
}

static bool count_taken(struct tide_taking *taking, size_t dirty)
{
    taking->fresh = taking->request->bytes - dirty;
    taking->is_refused = !tide_store_count_used(taking->request->bytes - taking->replaced, dirty);
    return !taking->is_refused;
}

static struct tide_range *take_one(struct tide_taking *taking, enum tide_range_state state)
{
    const struct tide_request *request = taking->request;
    unsigned home = tide_store_home(request->node);
    struct tide_range *range = tide_ranges_fit(state, home, request->bytes, request->alignment);

    if (!range || !count_taken(taking, state == RANGE_DIRTY ? request->bytes : 0))
        return NULL;
    return cut(range, (char *)tide_round_up((uintptr_t)range->start, request->alignment),
               request->bytes);
}

/* The largest dirty range with what is free around it, if it is much of what is asked
 * for: no larger one is to be had, and its pages would be of no use. */
static struct tide_range *take_mixed(struct tide_taking *taking)
{
    size_t bytes = taking->request->bytes, missing, dirty, some;
    unsigned home = tide_store_home(taking->request->node);
    struct tide_range *largest = tide_ranges_largest(RANGE_DIRTY, home), *first, *front, *range;
    char *start;

    if (!largest || largest->bytes < bytes / MUCH ||
        taking->request->alignment > tide_os_page_bytes)
        return NULL;
    start = largest->start;
    missing = bytes - tide_take_survey(start, home, bytes, &dirty);
    for (first = largest; missing > 0 && (front = tide_ranges_free_before(start, home));
         first = front) {
        some = front->bytes < missing ? front->bytes : missing;
        dirty += front->state == RANGE_DIRTY ? some : 0;
        start -= some;
        missing -= some;
    }
    if (missing > 0 || !count_taken(taking, dirty))
        return NULL;
    some = start > first->start ? (size_t)(tide_range_end(first) - start) : 0;
    range = tide_ranges_new_piece(first, start, some);
    if (some > 0)
        tide_ranges_cut_back(first, some);
    tide_take_behind(range, bytes - some);
    return range;
}

static struct tide_range *take_suitable(struct tide_taking *taking)
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
static void settle(const struct tide_taking *taking, struct tide_range *range)
{
    if (range && taking->request->state == RANGE_BLOCK) {
        tide_set_relaxed(&range->stamp, 0);
        tide_ranges_enter(range, RANGE_BLOCK);
    }
}

static struct tide_range *take_free(struct tide_taking *taking)
{
    struct tide_range *range;

    if (!tide_ranges_lock_with(TIDE_CUT_RECORDS))
        return NULL;
    range = take_suitable(taking);
    settle(taking, range);
    tide_unlock(&tide_ranges_lock);
    return range;
}

static struct tide_range *take_grown(struct tide_taking *taking)
{
    struct tide_range *whole, *range = NULL;
    char *place;

    whole = tide_store_grow(taking->request, &place);
    if (!whole)
        return NULL;
    if (count_taken(taking, 0))
        range = cut(whole, place, taking->request->bytes);
    settle(taking, range);
    tide_unlock(&tide_ranges_lock);
    return range;
}

struct tide_range *tide_take(struct tide_taking *taking)
{
    struct tide_range *range = take_free(taking);

    if (!range && !taking->is_refused)
        range = take_grown(taking);
    if (!range)
        errno = ENOMEM;
    return range;
}
