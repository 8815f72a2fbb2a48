/* heap/heap.c - whose heap is whose, and the list of all
 *
 * Three words of thread-local storage, which only their thread writes: tide_heap_fast,
 * which the fast paths start from, and own, the thread's heap (NULL before the first
 * call, GONE after the thread's destructors and in tidepool's own threads).  A thread
 * that is GONE uses the common heap.  The third is who is the process's first thread.
 */
#include "heap/heap.h"

#include <unistd.h>

#include "base/options.h"
#include "os/process.h"

#define GONE ((struct heap *)1)

struct heap tide_heap_none = { .door = &tide_heap_none };

TIDE_TLS struct heap *tide_heap_fast = &tide_heap_none;
static TIDE_TLS struct heap *own;
static TIDE_TLS bool is_first; /* the process's first thread, as it has the same number */

static struct heap *_Atomic heaps; /* pushed to by any thread, never taken from */
_Atomic unsigned tide_heaps_owned;

static struct tide_lock start_lock = TIDE_LOCK_INITIALIZER;

/* ---- Whose heap -------------------------------------------------------- */

bool tide_heap_is_unborn(void)
{
    return own == NULL;
}

struct heap *tide_heap_own(void)
{
    return own != GONE ? own : NULL;
}

/* With checks on all calls take the slow path. */
void tide_heap_set_own(struct heap *heap)
{
    own = heap ? heap : GONE;
    tide_heap_fast = heap && !tide_options.check ? heap : &tide_heap_none;
}

void tide_heap_lose_own(void)
{
    own = NULL;
    tide_heap_fast = &tide_heap_none;
}

bool tide_heap_is_at_home(void)
{
    return tide_heap_own() && tide_os_process_is_owner();
}

/* The thread that started the allocator has the process's number, and isn't asked, nor
 * is the one thread of a fork's child.  A heap that is born in the child of a vfork is
 * the parent's thread's, whose number isn't known there. */
void tide_heap_note_owner(void)
{
    struct heap *heap = tide_heap_own();

    if (!heap)
        return;
    if (is_first)
        heap->thread = (pid_t)tide_relaxed(tide_os_process_number);
    else
        heap->thread = tide_os_process_is_owner() ? gettid() : 0;
}

void tide_heap_note_first(void)
{
    is_first = true;
}

/* ---- All heaps --------------------------------------------------------- */

void tide_heap_enlist(struct heap *heap)
{
    struct heap *first = tide_relaxed(&heaps);

    do
        heap->next_heap = first;
    while (!atomic_compare_exchange_weak_explicit(&heaps, &first, heap, memory_order_release,
                                                  memory_order_relaxed));
}

struct heap *tide_heap_next(struct heap *heap)
{
    return heap ? heap->next_heap : tide_acquire(&heaps);
}

struct tide_lock *tide_heap_start_lock(void)
{
    return &start_lock;
}
