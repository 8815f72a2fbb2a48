/* heap/common.c - the one heap that threads share, under its lock
 *
 * It serves threads that have run their destructors; and, in a program of many
 * threads, the first few blocks of each class for each heap, so that a thread
 * that allocates little doesn't hold a page of every class, and blocks so large
 * that the lock costs little beside using them.  To whoever frees them they are
 * foreign.
 */
#include "heap/common.h"

#include "heap/remote.h"

static struct heap common; /* under common_lock */
static bool is_bare;       /* under common_lock: gave back, and wasn't used since */
static struct tide_lock common_lock = TIDE_LOCK_INITIALIZER;

enum {
    FEW_HEAPS = 8,    /* with no more, each has its own pools for everything */
    SHARE_MAX = 1024, /* bytes of a batch that is taken from here, but for large blocks */
    LARGE_MIN = 2048,
};

struct heap *tide_common_start(void)
{
    tide_lock_reset(&common.lock, false);
    tide_set_relaxed(&common.state, HEAP_OWNED);
    common.is_idle = is_bare = true;
    return &common;
}

struct heap *tide_common_heap(void)
{
    return &common;
}

bool tide_heap_is_common(const struct heap *heap)
{
    return heap == &common;
}

static void begin_use(void)
{
    tide_lock(&common_lock);
    common.is_idle = is_bare = false;
}

struct heap *tide_common_enter(void)
{
    begin_use();
    return &common;
}

void tide_common_leave(void)
{
    tide_unlock(&common_lock);
}

static struct block *take(unsigned size_class, uint32_t count)
{
    struct block *taken = NULL, *block;

    begin_use();
    while (count-- > 0) {
        block = common.list[size_class].freed;
        if (block)
            common.list[size_class].freed = block->next;
        else if (!(block = tide_heap_refill(&common, size_class)))
            break;
        block->next = taken;
        taken = block;
    }
    tide_unlock(&common_lock);
    return taken;
}

/* A heap's first batch is one block, and each further one twice the last.  Blocks
 * smaller than a cache line would be on other threads' lines. */
struct block *tide_common_share(struct heap *heap, unsigned size_class)
{
    unsigned from = size_class < TIDE_LINE_CLASS ? TIDE_LINE_CLASS : size_class;
    uint32_t count = 1u << heap->shares[size_class];

    if (tide_heap_count() <= FEW_HEAPS || heap == &common)
        return NULL;
    if (tide_class_bytes[size_class] >= LARGE_MIN)
        return take(size_class, 1);
    if (heap->current[size_class] || count * tide_class_bytes[from] > SHARE_MAX)
        return NULL;
    heap->shares[size_class]++;
    return take(from, count);
}

bool tide_common_tidy(bool is_only_idle)
{
    bool is_waiting;

    tide_lock(&common_lock);
    is_waiting = is_only_idle && !common.is_idle;
    if (is_waiting)
        tide_heap_drain_inbox(&common);
    else if (!is_bare || tide_relaxed(&common.inbox))
        tide_heap_give_back(&common);
    is_bare = !is_waiting;
    common.is_idle = true;
    tide_unlock(&common_lock);
    return is_waiting;
}

struct tide_lock *tide_common_lock(void)
{
    return &common_lock;
}
