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
 * and whoever stands in goes no further than to the next pool.  Only the owner
 * lets its fast paths start from its heap again, once it has seen that nobody
 * stands in: so it sees all that was changed.
 */
#include "heap/idle.h"

#include <unistd.h>

#include "base/fatal.h"
#include "heap/maintenance.h"
#include "os/waiting.h"
#include "pool/hollow.h"

enum {
    SLICE = 1024,     /* work done in a heap at once, in pools that are looked at */
    HOLLOW_WORK = 16, /* that of looking for a pool's free pages */
    MOST_REFUSALS = 8 /* vain tries after which a thread is left alone until it moves a pool */
};

_Atomic size_t tide_idle_lent;

static struct heap none;  /* never written */
static uint8_t look = 1;  /* the number of this look, never 0 */

/* ---- Standing in ------------------------------------------------------- */

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
    return tide_os_barrier() && tide_os_is_waiting(thread) && tide_relaxed(&heap->inside) == 0 &&
           __atomic_load_n(tide_relaxed(&heap->fast), __ATOMIC_RELAXED) == &none;
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
    if (TIDE_THREAD_SANITIZER)
        return false;
    tide_set_relaxed(&heap->is_lent, true);
    __atomic_store_n(tide_relaxed(&heap->fast), &none, __ATOMIC_RELAXED);
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
    bool is_owners;      /* made by the owner itself */
    bool is_only_idle;   /* pools that no block was taken from since the last look */
    unsigned size_class; /* where it is: from heap->cursor on */
    size_t returned;     /* bytes */
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

    if (pass->is_only_idle && !is_idle(pool))
        return 1;
    pass->returned += tide_pool_hollow(pool);
    if (had_freed && !pool->freed)
        tide_heap_relink(heap, pool);
    return HOLLOW_WORK;
}

/* Whether the owner waits for who stands in for it. */
static bool is_wanted(const struct heap *heap, const struct pass *pass)
{
    return !pass->is_owners && tide_relaxed(&heap->is_lent) && tide_relaxed(&heap->inside) != 0;
}

/* Whether there is more to do. */
static bool hollow_slice(struct heap *heap, struct pass *pass)
{
    for (unsigned work = 0; work < SLICE && !is_wanted(heap, pass);) {
        struct pool *pool = heap->cursor;

        if (pool) {
            heap->cursor = pool->next;
            work += hollow(heap, pool, pass);
        } else if (pass->size_class < TIDE_CLASSES) {
            heap->cursor = heap->used[pass->size_class++];
        } else {
            return false;
        }
    }
    return true;
}

static void begin_pass(struct heap *heap, struct pass *pass, bool is_only_idle)
{
    *pass = (struct pass){ .is_only_idle = is_only_idle };
    heap->cursor = NULL;
}

/* ---- Heaps of others: under the maintenance lock ----------------------- */

/* Goes over the used pools, standing in for the owner for a slice at a time, the
 * first time already.  Whether all were seen. */
static bool hollow_in_slices(struct heap *heap, struct pass *pass)
{
    for (;;) {
        bool is_more = hollow_slice(heap, pass);

        step_back(heap);
        if (!is_more)
            return true;
        if (!stand_in(heap))
            return false;
    }
}

/* All that can go; false when someone uses it. */
static bool give_back_all(struct heap *heap, size_t *returned)
{
    struct pass pass;
    uint32_t moves;
    bool is_done;

    if (!stand_in(heap))
        return false;
    if (is_owned(heap))
        tide_heap_give_back(heap);
    moves = tide_relaxed(&heap->moves);
    begin_pass(heap, &pass, false);
    is_done = hollow_in_slices(heap, &pass);
    if (is_done && tide_relaxed(&heap->moves) == moves)
        heap->moves_rested = moves;
    *returned += pass.returned;
    return is_done;
}

/* What is used goes on being so. */
static void give_back_some(struct heap *heap)
{
    struct pass pass;

    if (!stand_in(heap))
        return;
    begin_pass(heap, &pass, true);
    hollow_in_slices(heap, &pass);
}

/* Whether the heap has moved no pool since the last look. */
static bool is_at_rest(struct heap *heap)
{
    uint32_t moves = tide_relaxed(&heap->moves);
    bool is_so = moves == heap->moves_seen;

    if (!is_so)
        heap->refusals = 0;
    heap->moves_seen = moves;
    return is_so;
}

static bool has_moved(const struct heap *heap)
{
    return tide_relaxed(&heap->moves) != heap->moves_rested &&
           tide_relaxed(&heap->state) != HEAP_RETIRED;
}

size_t tide_idle_look(unsigned most_idle, unsigned most_busy)
{
    static struct heap *heap; /* the last one that was looked at */
    struct heap *first = heap;
    size_t waiting = 0, returned = 0;

    look = look == UINT8_MAX ? 1 : (uint8_t)(look + 1);
    do {
        heap = heap ? tide_heap_next(heap) : tide_heap_next(NULL);
        if (!heap || !has_moved(heap))
            continue;
        if (is_at_rest(heap) && heap->refusals < MOST_REFUSALS) {
            heap->refusals += !give_back_all(heap, &returned);
            most_idle--;
        } else if (heap->refusals == 0 && most_busy > 0) {
            give_back_some(heap);
            most_busy--;
        }
        waiting += has_moved(heap) && heap->refusals < MOST_REFUSALS;
    } while (heap != first && most_idle > 0);
    return waiting + (heap != first);
}

size_t tide_idle_give_back_all(void)
{
    size_t returned = 0;

    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        give_back_all(heap, &returned);
    return returned;
}

size_t tide_idle_give_back(struct heap *heap)
{
    struct pass pass;

    tide_heap_give_back(heap);
    begin_pass(heap, &pass, false);
    pass.is_owners = true;
    while (hollow_slice(heap, &pass))
        ;
    return pass.returned;
}
