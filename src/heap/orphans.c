/* heap/orphans.c - what becomes of a heap whose thread has ended
 *
 * It is handed over as it is, with its lists and pools, to the next thread that
 * is born.  When that takes long, or there are many, it gives back what it can.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "heap/common.h"
#include "heap/heap.h"
#include "heap/idle.h"
#include "heap/maintenance.h"
#include "heap/remote.h"
#include "os/topology.h"

/* So many orphans keep their lists and pools for the threads to come; those of
 * more give theirs back. */
enum { MOST_WHOLE = 32 };

static struct tide_lock orphans_lock = TIDE_LOCK_INITIALIZER;
static struct heap *orphans[2];      /* under orphans_lock: bare ones, whole ones */
static _Atomic unsigned whole_count; /* written under orphans_lock */

/* ---- How many heaps have a thread -------------------------------------- */

static _Atomic unsigned owned_count; /* written under orphans_lock */

/* The depot and its batches have a size for every doubling, and the first heap
 * is one, too. */
static void set_owned_count(unsigned count)
{
    unsigned before = tide_log2(tide_relaxed(&owned_count) | 1), now = tide_log2(count | 1);

    if (now != before || count == 1)
        tide_depot_fit(1u << now);
    tide_set_relaxed(&owned_count, count);
}

void tide_heap_count_born(void)
{
    tide_lock(&orphans_lock);
    set_owned_count(tide_relaxed(&owned_count) + 1);
    tide_unlock(&orphans_lock);
}

void tide_heap_count_retired(void)
{
    set_owned_count(tide_relaxed(&owned_count) - 1);
}

unsigned tide_heap_count(void)
{
    return tide_relaxed(&owned_count);
}

struct tide_lock *tide_heap_orphans_lock(void)
{
    return &orphans_lock;
}

/* ---- Their lists: under orphans_lock ----------------------------------- */

static void push_orphan(struct heap *heap, bool is_whole)
{
    heap->is_idle = false;
    heap->next_orphan = orphans[is_whole];
    orphans[is_whole] = heap;
    tide_count(&whole_count, is_whole);
}

static struct heap *pop_whole(struct heap **link)
{
    struct heap *heap = *link;

    *link = heap->next_orphan;
    tide_count(&whole_count, -1u);
    return heap;
}

/* A whole one has memory of its memory node, so it is for that node's threads. */
static struct heap *pop_orphan(unsigned node)
{
    struct heap **link = &orphans[true], *heap;

    while (*link && tide_arena_home_node(&(*link)->tenant) != node)
        link = &(*link)->next_orphan;
    if (*link)
        return pop_whole(link);
    heap = orphans[false];
    if (heap)
        orphans[false] = heap->next_orphan;
    return heap;
}

/* ---- Giving back ------------------------------------------------------- */

/* Blocks of the current pool. */
static void give_back_blocks(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];
    struct block *first = heap->list[size_class].freed, *last = first;
    uint32_t count = 1;

    if (!first)
        return;
    heap->list[size_class].freed = NULL;
    for (; last->next; last = last->next)
        count++;
    last->next = pool->freed;
    pool->freed = first;
    tide_heap_place(heap, pool, tide_pool_settle(pool, count));
}

/* Makes the current pool an ordinary one: used, full, or gone. */
static void retire_current(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];

    if (!pool)
        return;
    tide_heap_make_current(heap, size_class, NULL);
    if (tide_relaxed(&pool->left) == 0) {
        tide_set_relaxed(&pool->state, POOL_FULL); /* in no list */
        tide_heap_place(heap, pool, POOL_IS_EMPTY);
    } else if (tide_pool_is_worth_using(pool)) {
        tide_heap_place(heap, pool, POOL_IS_USABLE);
    } else {
        tide_pool_fill(pool);
    }
}

void tide_heap_give_back(struct heap *heap)
{
    struct pool *pool;

    tide_heap_send_all_foreign(heap);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        give_back_blocks(heap, c);
    tide_heap_drain_inbox(heap);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        retire_current(heap, c);
    while ((pool = heap->stock)) {
        heap->stock = pool->next;
        heap->stock_count--;
        tide_arena_put_run(pool);
    }
    tide_arena_leave(&heap->tenant);
    tide_maintenance_note();
}

/* ---- From thread to thread --------------------------------------------- */

static void make_orphan(struct heap *heap, bool is_whole)
{
    tide_lock(&orphans_lock);
    tide_lock(&heap->lock);
    /* Sequentially consistent, as the look at the inbox after it: see remote.c. */
    atomic_store(&heap->state, HEAP_ORPHAN);
    if (atomic_load(&heap->inbox))
        tide_heap_drain_inbox(heap);
    tide_unlock(&heap->lock);
    push_orphan(heap, is_whole);
    set_owned_count(tide_relaxed(&owned_count) - 1);
    tide_unlock(&orphans_lock);
    tide_maintenance_note();
}

void tide_heap_hand_over(struct heap *heap)
{
    bool is_whole = tide_relaxed(&whole_count) < MOST_WHOLE;

    if (is_whole)
        tide_heap_send_all_foreign(heap);
    else
        tide_heap_give_back(heap);
    tide_heap_drain_inbox(heap);
    make_orphan(heap, is_whole);
}

static struct heap *adopt_orphan(void)
{
    unsigned node = tide_os_node_now();
    struct heap *heap;

    tide_lock(&orphans_lock);
    heap = pop_orphan(node);
    if (heap) {
        tide_lock(&heap->lock);
        heap->process = getpid();
        tide_set_relaxed(&heap->thread, gettid());
        tide_idle_note_owner(heap);
        atomic_store(&heap->state, HEAP_OWNED);
        tide_unlock(&heap->lock);
        set_owned_count(tide_relaxed(&owned_count) + 1);
    }
    tide_unlock(&orphans_lock);
    return heap;
}

/* Makes the heap of a thread that is gone, but has made no orphan of it, the
 * calling thread's. */
static bool claim_lost(struct heap *heap)
{
    pid_t process = getpid();
    bool is_lost;

    if (!tide_lock_try(&heap->lock))
        return false;
    is_lost = tide_relaxed(&heap->state) == HEAP_OWNED && heap->process == process &&
              tgkill(process, tide_relaxed(&heap->thread), 0) != 0 && errno == ESRCH;
    if (is_lost) {
        tide_set_relaxed(&heap->thread, gettid());
        tide_idle_note_owner(heap);
        tide_set_relaxed(&heap->fast, NULL); /* its place is gone with the thread */
    }
    tide_unlock(&heap->lock);
    return is_lost;
}

/* A heap that was born when its thread's destructors had already run.  A few
 * heaps are looked at each time; NULL when none of them is one. */
static struct heap *adopt_lost(void)
{
    static struct heap *_Atomic next;

    for (int looks = 0; looks < 4; looks++) {
        struct heap *heap = tide_acquire(&next);

        if (!heap)
            heap = tide_heap_next(NULL);
        if (!heap)
            return NULL;
        tide_set_release(&next, heap->next_heap);
        if (claim_lost(heap))
            return heap;
    }
    return NULL;
}

struct heap *tide_heap_adopt(void)
{
    struct heap *heap = adopt_orphan();

    return heap ? heap : adopt_lost();
}

/* ---- Meanwhile --------------------------------------------------------- */

void tide_heap_visit_orphan(struct heap *heap)
{
    int saved_errno = errno;

    tide_lock(&heap->lock);
    if (tide_relaxed(&heap->state) == HEAP_ORPHAN) {
        tide_heap_drain_inbox(heap);
        tide_owner_add(&heap->moves, 1);
    }
    tide_unlock(&heap->lock);
    errno = saved_errno;
}

/* Of an orphan that is out of the list of whole ones. */
static void strip(struct heap *heap)
{
    tide_lock(&heap->lock);
    tide_heap_give_back(heap);
    tide_count(&heap->moves, 1);
    tide_unlock(&heap->lock);
    push_orphan(heap, false);
}

void tide_heap_give_back_unowned(void)
{
    tide_heap_empty_depot(false);
    tide_common_tidy(false);
    tide_lock(&orphans_lock);
    while (orphans[true])
        strip(pop_whole(&orphans[true]));
    tide_unlock(&orphans_lock);
}

size_t tide_heap_decay_unowned(void)
{
    struct heap **link = &orphans[true], *heap;
    size_t left = tide_heap_empty_depot(true) + tide_common_tidy(true);

    tide_lock(&orphans_lock);
    while ((heap = *link)) {
        if (heap->is_idle) {
            strip(pop_whole(link));
        } else {
            heap->is_idle = true;
            link = &heap->next_orphan;
        }
    }
    left += tide_relaxed(&whole_count);
    tide_unlock(&orphans_lock);
    return left;
}
