/* heap/orphans.c - see orphans.h */
#include "heap/orphans.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "base/due.h"
#include "exchange/depot.h"
#include "heap/check.h"
#include "heap/pools.h"
#include "heap/remote.h"
#include "machine/topology.h"
#include "os/process.h"

/* So many orphans keep their lists and pools for the threads to come; those of
 * more give theirs back. */
enum { MOST_WHOLE = 32 };

static struct tide_lock orphans_lock = TIDE_LOCK_INITIALIZER;
static struct heap *orphans[2];      /* under orphans_lock: bare ones, whole ones */
static _Atomic unsigned whole_count; /* written under orphans_lock */

/* ---- How many heaps have a thread -------------------------------------- */

/* The depot and its batches have a size for every doubling, and the first heap
 * is one, too. */
static void set_owned_count(unsigned count)
{
    unsigned before = tide_log2(tide_heap_count() | 1), now = tide_log2(count | 1);

    if (now != before || count == 1)
        tide_depot_fit(1u << now);
    tide_set_relaxed(&tide_heaps_owned, count);
}

void tide_heap_count_born(void)
{
    tide_lock(&orphans_lock);
    set_owned_count(tide_heap_count() + 1);
    tide_unlock(&orphans_lock);
}

struct tide_lock *tide_heap_orphans_lock(void)
{
    return &orphans_lock;
}

/* ---- Their lists: under orphans_lock ----------------------------------- */

static void push_orphan(struct heap *heap, bool is_whole)
{
    heap->is_whole = is_whole;
    heap->next_orphan = orphans[is_whole];
    orphans[is_whole] = heap;
    tide_count(&whole_count, is_whole);
}

static struct heap *pop(struct heap **link)
{
    struct heap *heap = *link;

    *link = heap->next_orphan;
    tide_count(&whole_count, heap->is_whole ? -1u : 0);
    return heap;
}

/* The first that nobody has taken just now; of a node, or of any. */
static struct heap *pop_left(struct heap **link, bool is_of_node, unsigned node)
{
    for (; *link; link = &(*link)->next_orphan)
        if ((!is_of_node || tide_arena_home_node(&(*link)->tenant) == node) &&
            tide_heap_close(*link))
            return pop(link);
    return NULL;
}

/* A whole one has memory of its memory node, so it is for that node's threads. */
static struct heap *pop_orphan(unsigned node)
{
    struct heap *heap = pop_left(&orphans[true], true, node);

    return heap ? heap : pop_left(&orphans[false], false, node);
}

/* ---- From thread to thread --------------------------------------------- */

/* Sequentially consistent, as the look at the inbox after it: see home.c.  What comes
 * once the section has ended is for the next that takes the heap. */
static void leave(struct heap *heap)
{
    atomic_store(&heap->state, HEAP_ORPHAN);
    if (atomic_load(&heap->inbox) || atomic_load(&heap->purged))
        while (tide_heap_drain(heap, UINT_MAX))
            ;
}

bool tide_heap_is_to_stay_whole(void)
{
    return tide_relaxed(&whole_count) < MOST_WHOLE;
}

void tide_heap_hand_over(struct heap *heap, bool is_taken, bool is_whole)
{
    if (is_taken) {
        atomic_store(&heap->state, HEAP_ORPHAN);
    } else {
        if (TIDE_DEBUG)
            tide_heap_check(heap);
        tide_heap_send_all_foreign(heap);
        leave(heap);
    }
    tide_heap_end(heap);
    tide_lock(&orphans_lock);
    push_orphan(heap, is_whole);
    set_owned_count(tide_heap_count() - 1);
    tide_unlock(&orphans_lock);
    tide_ring();
}

static struct heap *adopt_orphan(void)
{
    unsigned node = tide_machine_node_now();
    struct heap *heap;

    tide_lock(&orphans_lock);
    heap = pop_orphan(node);
    if (heap)
        set_owned_count(tide_heap_count() + 1);
    tide_unlock(&orphans_lock);
    return heap;
}

/* The heap of a thread that is gone, but has made no orphan of it: one that was born
 * when its thread's destructors had already run.  Its number may be another thread's
 * by now, then it is found later; but a thread that isn't there is gone for good. */
static bool take_lost(struct heap *heap)
{
    if (tide_relaxed(&heap->state) != HEAP_OWNED || !tide_heap_close(heap))
        return false;
    if (heap->thread != 0 && tgkill(getpid(), heap->thread, 0) != 0 && errno == ESRCH &&
        tide_acquire(&heap->state) == HEAP_OWNED) /* after: it may have ended just now */
        return true;
    tide_heap_open(heap);
    return false;
}

/* A few heaps are looked at each time; NULL when none of them is lost. */
static struct heap *adopt_lost(void)
{
    static struct heap *_Atomic next;

    if (tide_heap_count() == 0 || !tide_os_process_is_owner())
        return NULL;
    for (int looks = 0; looks < 4; looks++) {
        struct heap *heap = tide_acquire(&next);

        if (!heap)
            heap = tide_heap_next(NULL);
        if (!heap)
            return NULL;
        tide_set_release(&next, heap->next_heap);
        if (take_lost(heap))
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

void tide_heap_note_bare(struct heap *heap)
{
    struct heap **link;

    tide_lock(&orphans_lock);
    for (link = &orphans[true]; *link && *link != heap; link = &(*link)->next_orphan)
        ;
    if (*link)
        push_orphan(pop(link), false);
    tide_unlock(&orphans_lock);
}

/* ---- Fork -------------------------------------------------------------- */

static bool is_trusted(const struct heap *heap)
{
    return tide_relaxed(&heap->state) == HEAP_ORPHAN && tide_relaxed(&heap->door) == heap;
}

void tide_heap_drop_orphans_in_child(bool are_all, unsigned owned)
{
    for (int kind = 0; kind < 2; kind++)
        for (struct heap **link = &orphans[kind], *heap; !are_all && (heap = *link);)
            if (is_trusted(heap)) {
                link = &heap->next_orphan;
            } else {
                pop(link);
                tide_set_relaxed(&heap->state, HEAP_RETIRED);
            }
    if (are_all) {
        orphans[false] = orphans[true] = NULL;
        tide_set_relaxed(&whole_count, 0);
    }
    set_owned_count(owned);
}
