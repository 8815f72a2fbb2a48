/* heap/common.c - the one heap that threads share, under its lock
 *
 * It serves threads that have run their destructors, those whose own heap someone has
 * taken just now, and tidepool's own; and, in a program of many threads, the first few
 * blocks of each class for each heap, so that a thread that allocates little doesn't
 * hold a page of every class, and blocks so large that the lock costs little beside
 * using them.  To whoever frees them they are foreign.
 *
 * No system call is made under the lock: pools that are empty are set aside until it
 * is given up, and a new one is fetched before it is taken again.
 */
#include "heap/common.h"

#include <errno.h>

#include "base/fatal.h"
#include "heap/pools.h"
#include "heap/refill.h"
#include "machine/cpu.h"
#include "os/records.h"

static struct heap first;                 /* under common_lock, as all that follow */
static struct heap *_Atomic common = &first; /* written in fork children; read by any */
static struct aside aside;
static struct tide_lock common_lock = TIDE_LOCK_INITIALIZER;

enum {
    FEW_HEAPS = 8,    /* with no more, each has its own pools for everything */
    SHARE_MAX = 1024, /* bytes of a batch that is taken from here */
};

static void start(struct heap *heap)
{
    tide_set_relaxed(&heap->state, HEAP_COMMON);
    heap->aside = &aside;
    tide_heap_open(heap);
    tide_heap_enlist(heap);
}

void tide_common_start(void)
{
    start(&first);
}

/* Its pools can't be trusted, so they are nobody's for good, and another takes its
 * place. */
void tide_common_replace(void)
{
    struct heap *heap = tide_os_record(sizeof *heap);

    if (!heap)
        tide_base_fatal("no memory for the heap that threads share in a child of a fork");
    tide_set_relaxed(&tide_common_heap()->state, HEAP_RETIRED);
    aside = (struct aside){ .emptied = NULL };
    start(heap);
    tide_set_release(&common, heap);
}

struct heap *tide_common_heap(void)
{
    return tide_acquire(&common);
}

struct heap *tide_common_enter(void)
{
    tide_lock(&common_lock);
    return tide_common_heap();
}

void tide_common_leave(void)
{
    struct pool *pools = aside.emptied;

    aside.emptied = NULL;
    tide_unlock(&common_lock);
    tide_heap_put_pools(pools);
}

/* ---- Taking ------------------------------------------------------------ */

static struct pool *take_run(unsigned slots)
{
    struct tide_tenant tenant = { .arena = NULL };
    int saved_errno = errno;
    struct pool *pool;

    tide_arena_settle(&tenant, tide_machine_cpu_now());
    pool = tide_arena_take_run(&tenant, slots);
    tide_arena_leave(&tenant);
    errno = saved_errno;
    return pool;
}

/* Gives the lock up meanwhile.  False when there is no memory. */
static bool fetch(unsigned slots)
{
    struct pool *pool;

    tide_common_leave();
    pool = take_run(slots);
    tide_common_enter();
    if (pool && aside.fetched) {
        aside.fetched->next = aside.emptied;
        aside.emptied = aside.fetched;
    }
    aside.fetched = pool ? pool : aside.fetched;
    return pool != NULL;
}

static struct block *refill(struct heap *heap, unsigned size_class)
{
    bool is_own;
    struct block *blocks = tide_heap_take_used(heap, size_class, &is_own);

    if (!blocks) {
        blocks = tide_heap_take_unused(heap, size_class);
        is_own = true;
    }
    return tide_heap_fill_list(heap, size_class, blocks, is_own);
}

static struct block *pop_or_refill(unsigned size_class)
{
    struct heap *heap = tide_common_heap();
    struct block *block = heap->list[size_class].freed;

    if (!block)
        return refill(heap, size_class);
    heap->list[size_class].freed = block->next;
    return block;
}

struct block *tide_common_take(unsigned size_class)
{
    struct block *block;

    do
        block = pop_or_refill(size_class); /* others may have refilled it meanwhile */
    while (!block && fetch(tide_class_slots(size_class)));
    return block;
}

/* Who finds the lock busy takes from its own pools. */
static struct block *take(unsigned size_class, uint32_t count)
{
    struct block *taken = NULL, *block;

    if (!tide_lock_soon(&common_lock))
        return NULL;
    while (count-- > 0 && (block = tide_common_take(size_class))) {
        block->next = taken;
        taken = block;
    }
    tide_common_leave();
    return taken;
}

/* A heap's first batch is one block, and each further one twice the last.  Blocks
 * smaller than a cache line would be on other threads' lines. */
struct block *tide_common_share(struct heap *heap, unsigned size_class)
{
    unsigned from = size_class < TIDE_LINE_CLASS ? TIDE_LINE_CLASS : size_class;
    uint32_t count = 1u << heap->shares[size_class];
    struct block *taken;

    if (tide_heap_count() <= FEW_HEAPS || tide_heap_is_common(heap))
        return NULL;
    if (heap->current[size_class] || count * tide_class_bytes[from] > SHARE_MAX)
        return NULL;
    taken = take(from, count);
    heap->shares[size_class] += taken != NULL;
    return taken;
}

struct tide_lock *tide_common_lock(void)
{
    return &common_lock;
}
