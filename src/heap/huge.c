/* heap/huge.c - see huge.h.  lock guards the two lists and the totals; no
 * system call is made under it. */
#include "heap/huge.h"

#include <errno.h>
#include <stdint.h>

#include "arena/address_map.h"
#include "arena/huge_pages.h"
#include "arena/manager.h"
#include "base/bits.h"
#include "base/geometry.h"
#include "base/lock.h"
#include "base/options.h"
#include "heap/bound.h"
#include "heap/maintenance.h"
#include "os/limits.h"
#include "os/map.h"
#include "os/topology.h"

enum { MOST_CACHED = 64 }; /* bounds the search for one that fits */

static struct tide_lock own_lock = TIDE_LOCK_INITIALIZER;
static struct tide_lock *lock = &own_lock;
static struct huge *all;                  /* under lock */
static struct huge *newest, *oldest;      /* under lock: the cache */
static struct huge_totals totals;         /* under lock */

_Atomic size_t tide_huge_mapped, tide_huge_cached;

void tide_huge_start(void)
{
    struct tide_lock *global = tide_arena_global_lock();

    lock = global ? global : &own_lock;
}

/* ---- Lists: under lock ------------------------------------------------- */

static void link_block(struct huge *huge)
{
    huge->is_cached = false;
    huge->prev = NULL;
    huge->next = all;
    if (all)
        all->prev = huge;
    all = huge;
    totals.blocks++;
    totals.bytes += huge->bytes;
    totals.slack_bytes += huge->slack;
    tide_set_relaxed(&tide_huge_mapped, totals.bytes + totals.cached_bytes);
}

static void unlink_block(struct huge *huge)
{
    if (huge->next)
        huge->next->prev = huge->prev;
    if (huge->prev)
        huge->prev->next = huge->next;
    else
        all = huge->next;
    totals.blocks--;
    totals.bytes -= huge->bytes;
    totals.slack_bytes -= huge->slack;
}

static void link_cached(struct huge *huge)
{
    huge->is_cached = true;
    huge->is_idle = false;
    huge->prev = NULL;
    huge->next = newest;
    if (newest)
        newest->prev = huge;
    else
        oldest = huge;
    newest = huge;
    totals.cached_blocks++;
    totals.cached_bytes += huge->bytes;
    tide_set_relaxed(&tide_huge_cached, totals.cached_bytes);
}

static void unlink_cached(struct huge *huge)
{
    if (huge->next)
        huge->next->prev = huge->prev;
    else
        oldest = huge->prev;
    if (huge->prev)
        huge->prev->next = huge->next;
    else
        newest = huge->next;
    totals.cached_blocks--;
    totals.cached_bytes -= huge->bytes;
    tide_set_relaxed(&tide_huge_cached, totals.cached_bytes);
}

static bool fits_better(const struct huge *huge, const struct huge *best, size_t bytes)
{
    return best->bytes < bytes ? huge->bytes > best->bytes
                               : huge->bytes >= bytes && huge->bytes < best->bytes;
}

/* The node's smallest cached mapping of at least bytes; else its largest, which
 * may be worth growing. */
static struct huge *find_cached(size_t bytes, unsigned node)
{
    struct huge *best = NULL;

    for (struct huge *huge = newest; huge; huge = huge->next)
        if (huge->node == node && (!best || fits_better(huge, best, bytes)))
            best = huge;
    return best;
}

/* A request isn't served by less than half of it, as calloc would write to pages
 * that a new mapping has for nothing; nor by so much more that what is cached
 * and what live blocks have too much exceed the cache's bound. */
static bool suits(const struct huge *huge, size_t bytes)
{
    size_t slack;

    if (huge->bytes < bytes)
        return huge->bytes >= bytes / 2;
    slack = huge->bytes - bytes;
    return slack <= bytes / 4 || totals.cached_bytes - huge->bytes + totals.slack_bytes + slack <=
                                     (size_t)tide_options.huge_cache;
}

/* Out of the cache: one that serves a request of bytes, as it is or once it has
 * grown; NULL when there is none. */
static struct huge *take_cached(size_t bytes, unsigned node)
{
    struct huge *huge;

    tide_lock(lock);
    huge = find_cached(bytes, node);
    if (huge && !suits(huge, bytes))
        huge = NULL;
    if (huge)
        unlink_cached(huge);
    tide_unlock(lock);
    return huge;
}

/* The oldest cached mapping while there are too many or more than keep bytes. */
static struct huge *take_surplus(size_t keep)
{
    struct huge *huge = NULL;

    tide_lock(lock);
    if (totals.cached_bytes > keep || totals.cached_blocks > MOST_CACHED) {
        huge = oldest;
        unlink_cached(huge);
    }
    tide_unlock(lock);
    return huge;
}

/* The oldest cached mapping if it is idle. */
static struct huge *take_idle(void)
{
    struct huge *huge;

    tide_lock(lock);
    huge = oldest && oldest->is_idle ? oldest : NULL;
    if (huge)
        unlink_cached(huge);
    tide_unlock(lock);
    return huge;
}

/* ---- Mappings ---------------------------------------------------------- */

static bool enter(struct huge *huge)
{
    bool is_aligned = ((uintptr_t)huge->block & (TIDE_ARENA_BYTES - 1)) == 0;
    char *from = is_aligned ? huge->block : huge->start;

    return tide_address_map_set(from, huge->bytes - (size_t)(from - huge->start),
                                is_aligned ? TIDE_HUGE_ALIGNED : TIDE_HUGE, TIDE_HUGE_REST);
}

static void leave(struct huge *huge)
{
    bool is_aligned = ((uintptr_t)huge->block & (TIDE_ARENA_BYTES - 1)) == 0;
    char *from = is_aligned ? huge->block : huge->start;

    tide_address_map_clear(from, huge->bytes - (size_t)(from - huge->start));
}

static void unmap(struct huge *huge)
{
    leave(huge);
    tide_os_unmap(huge->start, huge->bytes);
}

/* lead is the distance from the mapping's aligned start to the block. */
static struct huge *map(size_t bytes, size_t lead, size_t alignment, unsigned node)
{
    size_t page = tide_os_page_bytes;
    bool is_aligned = lead >= TIDE_ARENA_BYTES;
    char *start = tide_os_map(bytes, is_aligned ? alignment : TIDE_ARENA_BYTES);
    struct huge *huge;

    if (!start)
        return NULL;
    if (is_aligned) { /* the record's page, right before the block, is all that leads */
        tide_os_unmap(start, lead - page);
        start += lead - page;
        bytes -= lead - page;
        lead = page;
    }
    tide_os_bind(start, bytes, node);
    tide_huge_pages_advise(start, bytes);
    huge = (struct huge *)start;
    huge->node = (unsigned short)node;
    huge->start = start;
    huge->bytes = bytes;
    huge->block = start + lead;
    if (!enter(huge)) {
        tide_os_unmap(start, bytes);
        return NULL;
    }
    return huge;
}

struct huge *tide_huge_at(const void *address)
{
    uintptr_t piece = (uintptr_t)address & ~(TIDE_ARENA_BYTES - 1);
    struct huge *huge;

    while (tide_memory_at((void *)piece) == TIDE_HUGE_REST)
        piece -= TIDE_ARENA_BYTES;
    huge = (struct huge *)(tide_memory_at((void *)piece) == TIDE_HUGE ? piece
                                                                      : piece - tide_os_page_bytes);
    return (const char *)address < huge->start + huge->bytes ? huge : NULL;
}

/* ---- Changes of length ------------------------------------------------- */

/* Changes the mapping's length where it is. */
static bool resize_in_place(struct huge *huge, size_t bytes)
{
    size_t old_bytes = huge->bytes;

    if (bytes < old_bytes) {
        leave(huge);
        huge->bytes = tide_os_resize(huge->start, old_bytes, bytes) ? bytes : old_bytes;
        enter(huge); /* can't fail: that part of the map is in use */
        return true;
    }
    if (!tide_os_resize(huge->start, old_bytes, bytes))
        return false;
    huge->bytes = bytes;
    if (enter(huge)) {
        tide_huge_pages_advise(huge->start, bytes); /* it may have been too short for them */
        return true;
    }
    tide_os_resize(huge->start, bytes, old_bytes);
    huge->bytes = old_bytes;
    return false;
}

/* Moves the pages to where target says, which is in the address map.  The old
 * range leaves that first: once moved, it may be another thread's. */
static bool move_to(struct huge *target, struct huge *huge)
{
    leave(huge);
    if (tide_os_end_move(huge->start, huge->bytes, target->start, target->bytes)) {
        struct huge *moved = (struct huge *)target->start;

        moved->start = target->start;
        moved->bytes = target->bytes;
        moved->block = target->block;
        return true;
    }
    enter(huge); /* can't fail: that part of the map is in use */
    leave(target);
    return false;
}

/* Moves the pages to a mapping of the new length.  NULL when that can't be; then
 * nothing has changed. */
static struct huge *move(struct huge *huge, size_t bytes)
{
    struct huge target = { .bytes = bytes };

    if (((uintptr_t)huge->start & (TIDE_ARENA_BYTES - 1)) != 0) {
        errno = EINVAL; /* not for want of memory */
        return NULL;
    }
    target.start = tide_os_begin_move(huge->bytes, bytes, TIDE_ARENA_BYTES);
    if (!target.start)
        return NULL;
    target.block = target.start + (huge->block - huge->start);
    if (!enter(&target) || !move_to(&target, huge)) {
        tide_os_cancel_move(huge->bytes, target.start, bytes);
        return NULL;
    }
    tide_huge_pages_advise(target.start, bytes);
    return (struct huge *)target.start;
}

/* A cached mapping that has bytes now; NULL when there is none. */
static struct huge *reuse(size_t bytes, unsigned node)
{
    struct huge *huge = take_cached(bytes, node), *grown = huge;
    int saved_errno = errno;

    if (huge && huge->bytes < bytes && !resize_in_place(huge, bytes)) {
        grown = errno == ENOMEM ? move(huge, bytes) : NULL;
        if (!grown)
            unmap(huge);
    }
    errno = saved_errno;
    return grown;
}

/* ---- The four verbs ---------------------------------------------------- */

void *tide_huge_malloc(size_t size, size_t alignment, bool *is_zero)
{
    size_t page = tide_os_page_bytes;
    size_t lead = alignment > page ? alignment : page, bytes;
    unsigned node = tide_os_node_now();
    struct huge *huge;

    if (size > PTRDIFF_MAX - 2 * page || lead > PTRDIFF_MAX - 2 * page - size) {
        errno = ENOMEM;
        return NULL;
    }
    bytes = lead + tide_round_up(size ? size : 1, page);
    huge = lead == page ? reuse(bytes, node) : NULL;
    if (!huge)
        tide_bound_note_taken(bytes);
    if (is_zero)
        *is_zero = !huge;
    if (!huge)
        huge = map(bytes, lead, alignment, node);
    if (!huge)
        return NULL;
    tide_lock(lock);
    huge->slack = lead == page ? huge->bytes - bytes : 0;
    link_block(huge);
    tide_unlock(lock);
    tide_maintenance_weigh();
    return huge->block;
}

void tide_huge_free(void *block)
{
    struct huge *huge = tide_huge_at(block);
    size_t most = (size_t)tide_options.huge_cache;
    bool is_kept = huge->bytes <= most && huge->block == huge->start + tide_os_page_bytes &&
                   !tide_os_limits_is_above_soft();

    tide_lock(lock);
    unlink_block(huge);
    if (is_kept)
        link_cached(huge);
    tide_unlock(lock);
    if (is_kept)
        tide_huge_trim(most);
    else
        unmap(huge);
    tide_maintenance_note();
}

size_t tide_huge_trim(size_t keep)
{
    size_t returned = 0;

    for (struct huge *huge = take_surplus(keep); huge; huge = take_surplus(keep)) {
        returned += huge->bytes;
        unmap(huge);
    }
    return returned;
}

size_t tide_huge_decay(void)
{
    size_t left;

    for (struct huge *huge = take_idle(); huge; huge = take_idle())
        unmap(huge);
    tide_lock(lock);
    for (struct huge *huge = newest; huge; huge = huge->next)
        huge->is_idle = true;
    left = totals.cached_bytes;
    tide_unlock(lock);
    return left;
}

void *tide_huge_resize(void *block, size_t size)
{
    struct huge *huge = tide_huge_at(block), *resized = huge;
    size_t lead = (size_t)(huge->block - huge->start), bytes;

    if (size > PTRDIFF_MAX - 2 * lead)
        return NULL;
    bytes = lead + tide_round_up(size, tide_os_page_bytes);
    tide_lock(lock);
    unlink_block(huge);
    tide_unlock(lock);
    if (bytes != huge->bytes && !resize_in_place(huge, bytes)) {
        /* Only for want of room there: pages that can't be moved are copied. */
        resized = errno == ENOMEM ? move(huge, bytes) : NULL;
        huge = resized ? resized : huge;
    }
    tide_lock(lock);
    huge->slack = resized ? 0 : huge->slack;
    link_block(huge);
    tide_unlock(lock);
    tide_maintenance_weigh();
    return resized ? resized->block : NULL;
}

bool tide_huge_owns(const void *address)
{
    const char *byte = address;
    const struct huge *lists[2], *huge;
    bool is_inside = false;

    tide_lock(lock);
    lists[0] = all;
    lists[1] = newest;
    for (int n = 0; n < 2; n++)
        for (huge = lists[n]; huge && !is_inside; huge = huge->next)
            is_inside = byte >= huge->start && byte < huge->start + huge->bytes;
    tide_unlock(lock);
    return is_inside;
}

struct huge_totals tide_huge_totals(void)
{
    struct huge_totals now;

    tide_lock(lock);
    now = totals;
    tide_unlock(lock);
    return now;
}

struct tide_lock *tide_huge_lock(void)
{
    return &own_lock;
}

/* One that was on its way to another place isn't there yet. */
static void relist(struct huge *huge)
{
    if (huge->start != (char *)huge)
        return;
    if (huge->is_cached)
        link_cached(huge);
    else
        link_block(huge);
}

void tide_huge_mend_in_child(void)
{
    all = newest = oldest = NULL;
    totals = (struct huge_totals){ .blocks = 0 };
    tide_set_relaxed(&tide_huge_mapped, 0);
    tide_set_relaxed(&tide_huge_cached, 0);
    for (char *start = tide_address_map_next(NULL, TIDE_HUGE); start;
         start = tide_address_map_next(start, TIDE_HUGE))
        relist((struct huge *)start);
    for (char *start = tide_address_map_next(NULL, TIDE_HUGE_ALIGNED); start;
         start = tide_address_map_next(start, TIDE_HUGE_ALIGNED))
        relist((struct huge *)(start - tide_os_page_bytes));
}
