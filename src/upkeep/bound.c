/* upkeep/bound.c - see bound.h.  What is learned is kept under the look's lock, but
 * for the counts of what went, which any thread may take from. */
#include "upkeep/bound.h"

#include <errno.h>

#include "base/lock.h"
#include "base/options.h"
#include "heap/home.h"
#include "large/cache.h"
#include "os/thread.h"
#include "store/purge.h"
#include "upkeep/idle.h"
#include "upkeep/look.h"

#define LEAST_BYTES ((size_t)3 << 19)
#define LEAST_SHARE 40        /* a part in so many of the peak, with one heap */
#define LEAST_SHARE_SHARED 96 /* with several */

enum {
    MOST_DRAINED = 4,      /* pools from the inboxes */
    STEP_SLOTS = 16,       /* that are purged at a free */
    LARGE_STEP_SLOTS = 64, /* when twice the bound is kept */
    LEAST_LIKELY = 1,      /* free pages in a pool that is looked at, in sixteenths */
    MOST_LIKELY = 32,      /* likewise, while hardly more is kept than may be */
    FORGET_DECAYS = 10,    /* times TIDEPOOL_DECAY_MS, for what is kept and not used */
};

static _Atomic size_t peak;        /* bytes mapped */
static _Atomic size_t gone;        /* bytes given back at gone_at or before, not taken anew */
static _Atomic uint64_t gone_at;   /* ms */
static _Atomic size_t learned;     /* bytes kept beyond the first bound */
static _Atomic size_t unused;      /* the least that was kept since unused_since */
static _Atomic uint64_t unused_since;

/* ---- What is kept, and what may be -------------------------------------- */

static size_t bound(void)
{
    size_t mapped = tide_upkeep_mapped(), most = tide_relaxed(&peak), share;

    if (mapped > most)
        tide_set_relaxed(&peak, most = mapped);
    share = tide_heap_count() > 1 ? most / LEAST_SHARE_SHARED : most / LEAST_SHARE;
    most = (share > LEAST_BYTES ? share : LEAST_BYTES) + tide_relaxed(&learned);
    tide_set_relaxed(&tide_bound_most, most);
    return most;
}

/* ---- Learning ------------------------------------------------------------ */

static void note_unused(size_t kept)
{
    if (kept < tide_relaxed(&unused))
        tide_set_relaxed(&unused, kept);
}

void tide_bound_learn(void)
{
    size_t bytes = tide_relaxed(&tide_bound_taken), before = tide_relaxed(&gone), again;

    if (bytes == 0)
        return;
    bytes = atomic_exchange_explicit(&tide_bound_taken, 0, memory_order_relaxed);
    again = bytes < before ? bytes : before;
    note_unused(tide_bound_kept());
    if (again == 0)
        return;
    if (tide_os_now_ms() - tide_relaxed(&gone_at) < (uint64_t)tide_options.decay_ms) {
        tide_set_relaxed(&gone, before - again);
        atomic_fetch_add_explicit(&learned, again, memory_order_relaxed);
    } else {
        tide_set_relaxed(&gone, 0);
    }
}

static void forget(size_t kept, uint64_t now)
{
    size_t surplus = tide_relaxed(&unused), have = tide_relaxed(&learned);

    note_unused(kept);
    if (now - tide_relaxed(&unused_since) < FORGET_DECAYS * (uint64_t)tide_options.decay_ms)
        return;
    tide_set_relaxed(&learned, have - (surplus < have ? surplus : have));
    tide_set_relaxed(&unused, kept);
    tide_set_relaxed(&unused_since, now);
}

static void note_gone(size_t bytes, uint64_t now)
{
    if (bytes == 0)
        return;
    if (now - tide_relaxed(&gone_at) >= (uint64_t)tide_options.decay_ms)
        tide_set_relaxed(&gone, 0);
    tide_set_relaxed(&gone_at, now);
    atomic_fetch_add_explicit(&gone, bytes, memory_order_relaxed);
}

/* ---- Giving back: under the look's lock ---------------------------------- */

/* A step, of no less than what was freed, as that may have been the last free.  Bytes
 * that went. */
static size_t give_back(size_t kept, size_t most, size_t freed)
{
    size_t dirty = tide_relaxed(&tide_store_dirty), surplus = kept - most;
    unsigned slots = kept > 2 * most ? LARGE_STEP_SLOTS : STEP_SLOTS;
    size_t step = (size_t)slots << TIDE_SLOT_SHIFT, returned;

    step = step > freed ? step : freed;
    returned = tide_store_purge(dirty > surplus ? dirty - surplus : 0, step);
    if (returned < surplus && returned < step)
        returned += tide_arena_purge_some((unsigned)((step - returned) >> TIDE_SLOT_SHIFT));
    return returned;
}

static void step(size_t freed)
{
    size_t kept, most = bound(), returned = 0;
    uint64_t now = tide_os_now_ms();

    tide_large_cache_flush_own();
    kept = tide_bound_kept();
    forget(kept, now);
    if (kept > most)
        returned = give_back(kept, most, freed);
    if (tide_relaxed(&tide_bound_returned) > most / 4)
        tide_idle_collect_on();
    note_gone(returned, now);
}

/* Whether all is within the bound. */
static bool is_bounded(void)
{
    size_t most = bound();

    return tide_bound_kept() <= most && tide_relaxed(&tide_bound_returned) <= most / 4;
}

void tide_bound_check_slow(size_t freed)
{
    int saved_errno = errno;

    if (is_bounded() || tide_lock_is_forking() || !tide_lock_try(tide_upkeep_lock()))
        return;
    step(freed);
    tide_unlock(tide_upkeep_lock());
    errno = saved_errno;
}

/* ---- Pages of used pools -------------------------------------------------- */

/* The pool is looked at when it is likely to have so many free pages, in sixteenths: the
 * fewer, the more is kept. */
static size_t least_likely(size_t kept, size_t most)
{
    size_t excess = kept - most, range = most / 2;

    return excess < range ? MOST_LIKELY - (MOST_LIKELY - LEAST_LIKELY) * excess / range
                          : LEAST_LIKELY;
}

bool tide_bound_set_pages_aside_slow(struct heap *heap, struct pool *pool,
                                     struct tide_pages *pages)
{
    size_t most = bound(), kept = tide_bound_kept() + tide_relaxed(&heap->loose);

    return kept > most && pool->likely >= least_likely(kept, most) &&
           tide_heap_set_pages_aside(heap, pool, pages);
}

void tide_bound_purge(struct heap *heap, const struct tide_pages *pages)
{
    int saved_errno = errno;

    note_gone(tide_pool_purge(pages), tide_os_now_ms());
    tide_heap_send_pages_home(pages);
    if (tide_heap_begin(heap) == heap)
        tide_heap_drain(heap, MOST_DRAINED);
    tide_heap_end(heap);
    errno = saved_errno;
}
