/* heap/idle.c - see idle.h
 *
 * To stand in for a thread:
 *   1. its heap's lock is taken; the thread's next call of malloc or free is sent
 *      to the slow path, where it waits for that lock: is_lent is set, and the
 *      pointer its fast paths start from points to a heap without blocks;
 *   2. a barrier makes every thread see that;
 *   3. then the thread is seen to sleep in a system call, and not inside.
 * The fast paths make no system calls, so at that moment it was in none of them,
 * and from then on it sees 1.  It may wake up meanwhile: it waits at the lock,
 * and whoever stands in goes no further than to the next pool, once what the heap
 * keeps was given back.  Only the owner lets its fast paths start from its heap
 * again, once it has seen that nobody stands in: so it sees all that was changed.
 */
#include "heap/idle.h"

#include <limits.h>
#include <unistd.h>

#include "base/fatal.h"
#include "heap/maintenance.h"
#include "os/thread.h"
#include "os/waiting.h"
#include "pool/hollow.h"

enum {
    SLICE = 1024,         /* work done in a heap at once, in pools that are looked at */
    SHARED_SLICE = 64,    /* the same for one that has no thread of its own: others wait */
    HOLLOW_WORK = 16,     /* that of looking for a pool's free pages */
    FEW_REFUSALS = 8,     /* vain tries after which a thread is stood in for seldom ... */
    SELDOM = 16,          /* ... at one of so many looks */
    MOST_REFUSALS = 64,   /* tries after which no further look is made for its sake */
    MOST_WAITS = 100,     /* for a thread that is awake, in a pass */
    MOST_BUSY_WAITS = 32, /* for one that is in use */
    WAIT_MS = 2,          /* each */
};

_Atomic size_t tide_idle_lent;

static uint8_t look = 1; /* the number of this look, never 0 */

/* ---- Standing in ------------------------------------------------------- */

void tide_idle_note_owner(struct heap *heap)
{
    heap->owned_at = tide_os_ticks();
    heap->blocked = tide_os_blocked_signals();
}

/* Pairs with the release in step_back. */
void tide_idle_wait(struct heap *heap)
{
    while (tide_acquire(&heap->is_lent)) {
        tide_lock(&heap->lock);
        tide_unlock(&heap->lock);
    }
}

void tide_idle_forbid(struct heap *heap)
{
    tide_heap_begin(heap);
    tide_lock(&heap->lock);
    tide_set_relaxed(&heap->fast, NULL);
    tide_unlock(&heap->lock);
    tide_heap_end(heap);
}

/* Whether the owner is outside its heap and sees that it is lent: one that was
 * about to use it may have let its fast paths start from there again. */
static bool is_away(struct heap *heap, pid_t thread)
{
    return tide_os_barrier() && tide_os_is_waiting(thread, heap->blocked) &&
           tide_relaxed(&heap->inside) == 0 &&
           __atomic_load_n(tide_relaxed(&heap->fast), __ATOMIC_RELAXED) == &tide_heap_none;
}

/* Not another thread that has its number now. */
static bool has_its_thread(const struct heap *heap)
{
    return tide_os_thread_start(tide_relaxed(&heap->thread)) <= heap->owned_at;
}

/* Under its lock.  ThreadSanitizer doesn't know of such barriers. */
static bool borrow(struct heap *heap)
{
    pid_t thread = tide_relaxed(&heap->thread);

    if (!tide_acquire(&heap->fast) || heap->process != getpid() || !has_its_thread(heap))
        return false;
    if (thread == gettid())
        return tide_relaxed(&heap->inside) == 0;
    /* Asked first, so that only a thread that is there and sleeps is disturbed. */
    if (TIDE_THREAD_SANITIZER || !tide_os_is_waiting(thread, heap->blocked))
        return false;
    tide_set_relaxed(&heap->is_lent, true);
    __atomic_store_n(tide_relaxed(&heap->fast), &tide_heap_none, __ATOMIC_RELAXED);
    if (is_away(heap, thread)) {
        tide_count(&tide_idle_lent, 1);
        return true;
    }
    tide_set_relaxed(&heap->is_lent, false);
    return false;
}

static bool is_owned(struct heap *heap)
{
    return tide_relaxed(&heap->state) == HEAP_OWNED && !tide_heap_is_common(heap);
}

static bool is_own(struct heap *heap)
{
    return is_owned(heap) && tide_relaxed(&heap->thread) == gettid();
}

/* Makes the calling thread the heap's owner for a moment; false when it can't. */
static bool stand_in(struct heap *heap)
{
    struct tide_lock *lock = tide_heap_lock_of(heap);

    if (!tide_lock_try(lock))
        return false;
    if (tide_relaxed(&heap->state) != HEAP_RETIRED && (!is_owned(heap) || borrow(heap)))
        return true;
    tide_unlock(lock);
    return false;
}

static void step_back(struct heap *heap)
{
    if (tide_relaxed(&heap->is_lent))
        tide_set_release(&heap->is_lent, false);
    tide_unlock(tide_heap_lock_of(heap));
}

/* ---- Free pages of used pools: its owner ------------------------------- */

/* What a pass over a heap's used pools has come to. */
struct pass {
    bool is_owners;    /* made by the owner itself */
    bool is_whole;     /* not to go on where the last one was stopped */
    bool is_only_idle; /* pools that no block was taken from since the last look */
    unsigned slices;   /* so many at most */
    unsigned waits;    /* made so far for a thread that was awake */
    size_t returned;   /* bytes */
};

static bool is_idle(struct pool *pool)
{
    bool is_so = pool->unused_since != 0 && pool->unused_since != look;

    if (pool->unused_since == 0)
        pool->unused_since = look;
    return is_so;
}

/* How much work it was. */
static unsigned hollow(struct heap *heap, struct pool *pool, struct pass *pass)
{
    bool had_freed = pool->freed != NULL;
    uint16_t before = pool->free_at_look;

    if (pass->is_only_idle && !is_idle(pool))
        return 1;
    pass->returned += tide_pool_hollow(pool);
    tide_pool_watch(pool);
    if (had_freed && !pool->freed)
        tide_heap_relink(heap, pool);
    return pool->free_at_look == before ? 1 : HOLLOW_WORK;
}

/* Whether the owner waits for who stands in for it. */
static bool is_wanted(const struct heap *heap, const struct pass *pass)
{
    return !pass->is_owners && tide_relaxed(&heap->is_lent) && tide_relaxed(&heap->inside) != 0;
}

/* Whether there is more to do. */
static bool hollow_slice(struct heap *heap, struct pass *pass)
{
    unsigned most = pass->is_owners || tide_relaxed(&heap->is_lent) ? SLICE : SHARED_SLICE;

    for (unsigned work = 0; work < most && !is_wanted(heap, pass);) {
        struct pool *pool = heap->cursor;

        if (pool) {
            heap->cursor = pool->next;
            work += hollow(heap, pool, pass);
        } else if (heap->pass_class < TIDE_CLASSES) {
            heap->cursor = heap->used[heap->pass_class++];
        } else {
            heap->is_passing = false;
            return false;
        }
    }
    return true;
}

/* Goes on where the last pass was stopped, unless it is to be whole or that one
 * left pools out. */
static void begin_pass(struct heap *heap, const struct pass *pass)
{
    if (heap->is_passing && !pass->is_whole && (pass->is_only_idle || !heap->is_pass_partial))
        return;
    heap->cursor = NULL;
    heap->pass_class = 0;
    heap->is_passing = true;
    heap->is_pass_partial = pass->is_only_idle;
    heap->moves_at_pass = tide_relaxed(&heap->moves);
}

/* ---- Heaps of others: under the maintenance lock ----------------------- */

/* A thread that woke up for a moment is waited for, some times in a pass; fewer
 * if it is in use, so as not to disturb it much. */
static bool stand_in_again(struct heap *heap, struct pass *pass, bool was_wanted)
{
    unsigned most = pass->is_only_idle && is_owned(heap) ? MOST_BUSY_WAITS : MOST_WAITS;
    _Atomic uint32_t never = 0;

    while (was_wanted || !stand_in(heap)) {
        if (pass->waits++ >= most)
            return false;
        tide_os_wait(&never, 0, WAIT_MS);
        was_wanted = false;
    }
    return true;
}

/* Goes over the used pools, standing in for the owner for a slice at a time, the
 * first time already.  Whether all were seen. */
static bool hollow_in_slices(struct heap *heap, struct pass *pass)
{
    for (;;) {
        bool is_more = hollow_slice(heap, pass), was_wanted = is_wanted(heap, pass);

        step_back(heap);
        if (!is_more)
            return true;
        if (--pass->slices == 0 || !stand_in_again(heap, pass, was_wanted))
            return false;
    }
}

/* All that can go; false when someone uses it, or there is more. */
static bool give_back_all(struct heap *heap, bool is_whole, unsigned slices, size_t *returned)
{
    struct pass pass = { .is_owners = is_own(heap), .is_whole = is_whole, .slices = slices };
    uint32_t moves;
    bool is_done;

    if (!stand_in(heap))
        return false;
    if (is_owned(heap))
        tide_heap_give_back(heap);
    else
        tide_heap_drain_inbox(heap);
    moves = tide_relaxed(&heap->moves);
    begin_pass(heap, &pass);
    is_done = hollow_in_slices(heap, &pass);
    if (is_done && tide_relaxed(&heap->moves) == moves && heap->moves_at_pass == moves)
        heap->moves_rested = moves;
    *returned += pass.returned;
    return is_done;
}

/* What is used goes on being so. */
static void give_back_some(struct heap *heap, unsigned slices)
{
    struct pass pass = { .is_owners = is_own(heap), .is_only_idle = true, .slices = slices };

    if (!stand_in(heap))
        return;
    begin_pass(heap, &pass);
    hollow_in_slices(heap, &pass);
}

/* Whether the heap was in no use (see heap->moves) since the last look. */
static bool is_at_rest(struct heap *heap)
{
    uint32_t moves = tide_relaxed(&heap->moves);
    bool is_so = moves == heap->moves_seen;

    if (!is_so)
        heap->refusals = 0;
    heap->moves_seen = moves;
    return is_so;
}

/* Whether it may have something to give back. */
static bool has_moved(const struct heap *heap)
{
    return (tide_relaxed(&heap->moves) != heap->moves_rested || tide_relaxed(&heap->inbox)) &&
           tide_relaxed(&heap->state) != HEAP_RETIRED;
}

/* Whether its turn has come to be tried, as it is idle. */
static bool is_to_try(const struct heap *heap)
{
    return heap->refusals < FEW_REFUSALS || look % SELDOM == 0;
}

static void try_idle(struct heap *heap, unsigned slices)
{
    size_t returned = 0;

    if (give_back_all(heap, false, slices, &returned) || returned > 0)
        heap->refusals = 0;
    else if (heap->refusals < MOST_REFUSALS)
        heap->refusals++;
}

size_t tide_idle_look(struct tide_effort effort)
{
    static struct heap *start; /* where the last look stopped */
    struct heap *const first = start;
    struct heap *heap = start, *stop = start;
    size_t waiting = 0;

    if (!effort.is_same)
        look = look == UINT8_MAX ? 1 : (uint8_t)(look + 1);
    tide_os_barrier(); /* the first one takes long, and is made without locks here */
    do {
        heap = tide_heap_next(heap);
        if (!heap || !has_moved(heap))
            continue;
        if (is_at_rest(heap)) {
            if (is_to_try(heap)) {
                try_idle(heap, effort.slices);
                effort.idle--;
            }
        } else if (effort.busy > 0) {
            give_back_some(heap, effort.slices);
            if (--effort.busy == 0)
                stop = heap;
        }
        waiting += has_moved(heap) && heap->refusals < MOST_REFUSALS;
    } while (heap != first && effort.idle > 0);
    start = heap != first ? heap : stop;
    return waiting + (heap != first);
}

size_t tide_idle_give_back_all(bool is_only_moved)
{
    size_t returned = 0;

    tide_os_barrier(); /* as above */
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (!is_only_moved || has_moved(heap))
            give_back_all(heap, true, UINT_MAX, &returned);
    return returned;
}

size_t tide_idle_give_back(struct heap *heap)
{
    struct pass pass = { .is_owners = true, .is_whole = true };

    tide_heap_give_back(heap);
    begin_pass(heap, &pass);
    while (hollow_slice(heap, &pass))
        ;
    return pass.returned;
}
