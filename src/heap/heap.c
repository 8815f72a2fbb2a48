/* heap/heap.c - a heap's life: birth, thread exit, orphanhood, adoption, fork
 *
 * Two words of thread-local storage: tide_heap_fast, which the fast paths use,
 * and own, the thread's heap (NULL before the first call, GONE after the
 * thread's destructors).  A thread past them uses the one late heap, under its
 * lock.
 */
#include "heap/heap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "heap/heap_fast.h"
#include "heap/huge.h"
#include "heap/maintenance.h"
#include "heap/remote.h"
#include "os/cpu.h"
#include "os/map.h"
#include "os/records.h"

#define GONE ((struct heap *)1)

/* So many orphans keep their lists and pools for the threads to come; those of
 * more give theirs back. */
enum { MOST_WHOLE = 32 };

static struct heap none; /* never written */
static struct heap late; /* under late_lock */

TIDE_TLS struct heap *tide_heap_fast = &none;
static TIDE_TLS struct heap *own;

static struct tide_lock start_lock = TIDE_LOCK_INITIALIZER;
static _Atomic bool is_started;
static pthread_key_t key; /* its destructor runs when a thread with a heap ends */

static struct tide_lock late_lock = TIDE_LOCK_INITIALIZER;
static struct tide_lock orphans_lock = TIDE_LOCK_INITIALIZER;
static struct heap *orphans[2];       /* under orphans_lock: bare ones, whole ones */
static _Atomic unsigned whole_count;  /* written under orphans_lock */
static struct heap *_Atomic heaps;    /* pushed to by any thread, never taken from */

/* ---- Orphans ----------------------------------------------------------- */

static void push_orphan(struct heap *heap, bool is_whole)
{
    heap->is_idle = false;
    heap->next_orphan = orphans[is_whole];
    orphans[is_whole] = heap;
    tide_count(&whole_count, is_whole);
}

static struct heap *pop_orphan(void)
{
    bool is_whole = orphans[true] != NULL;
    struct heap *heap = orphans[is_whole];

    if (heap) {
        orphans[is_whole] = heap->next_orphan;
        tide_count(&whole_count, -(unsigned)is_whole);
    }
    return heap;
}

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
    tide_unlock(&orphans_lock);
    tide_maintenance_note();
}

static struct heap *adopt(void)
{
    struct heap *heap;

    tide_lock(&orphans_lock);
    heap = pop_orphan();
    if (heap) {
        tide_lock(&heap->lock);
        heap->process = getpid();
        tide_set_relaxed(&heap->thread, gettid());
        atomic_store(&heap->state, HEAP_OWNED);
        tide_unlock(&heap->lock);
    }
    tide_unlock(&orphans_lock);
    return heap;
}

void tide_heap_visit_orphan(struct heap *heap)
{
    int saved_errno = errno;

    tide_lock(&heap->lock);
    if (tide_relaxed(&heap->state) == HEAP_ORPHAN)
        tide_heap_drain_inbox(heap);
    tide_unlock(&heap->lock);
    errno = saved_errno;
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
    if (is_lost)
        tide_set_relaxed(&heap->thread, gettid());
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
            heap = tide_acquire(&heaps);
        if (!heap)
            return NULL;
        tide_set_release(&next, heap->next_heap);
        if (claim_lost(heap))
            return heap;
    }
    return NULL;
}

/* ---- Giving back ------------------------------------------------------- */

/* Blocks of the current pool. */
static void give_back_blocks(struct heap *heap, unsigned size_class, struct block **list)
{
    struct pool *pool = heap->current[size_class];
    struct block *first = *list, *last = first;
    uint32_t count = 1;

    if (!first)
        return;
    *list = NULL;
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
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        give_back_blocks(heap, c, &heap->list[c].freed);
        give_back_blocks(heap, c, &heap->rest[c]);
    }
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

/* Of an orphan that is out of the list of whole ones. */
static void strip(struct heap *heap)
{
    tide_lock(&heap->lock);
    tide_heap_give_back(heap);
    tide_unlock(&heap->lock);
    push_orphan(heap, false);
}

void tide_heap_give_back_orphans(void)
{
    tide_lock(&orphans_lock);
    while (orphans[true])
        strip(pop_orphan());
    tide_unlock(&orphans_lock);
}

size_t tide_heap_decay_orphans(void)
{
    struct heap **link = &orphans[true], *heap;
    size_t left;

    tide_lock(&orphans_lock);
    while ((heap = *link)) {
        if (heap->is_idle) {
            *link = heap->next_orphan;
            tide_count(&whole_count, -1u);
            strip(heap);
        } else {
            heap->is_idle = true;
            link = &heap->next_orphan;
        }
    }
    left = tide_relaxed(&whole_count);
    tide_unlock(&orphans_lock);
    return left;
}

/* ---- Birth and exit ---------------------------------------------------- */

/* A thread may find another's heap in its key: the C library doesn't clear what
 * a thread set past its destructors, and gives the stack with it to a new one. */
static void end_thread(void *heap)
{
    bool is_whole = tide_relaxed(&whole_count) < MOST_WHOLE;
    int saved_errno = errno;

    if (heap != own)
        return;
    own = GONE;
    tide_heap_fast = &none;
    if (TIDE_DEBUG)
        tide_heap_check(heap);
    if (is_whole)
        tide_heap_send_all_foreign(heap);
    else
        tide_heap_give_back(heap);
    tide_heap_drain_inbox(heap);
    make_orphan(heap, is_whole);
    if (gettid() == getpid())
        tide_maintenance_end();
    errno = saved_errno;
}

static void enlist(struct heap *heap)
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

static struct heap *be_born(void)
{
    int saved_errno = errno;
    struct heap *heap;

    if (!tide_acquire(&is_started) && !tide_heap_start(environ))
        return NULL;
    heap = adopt();
    if (!heap)
        heap = adopt_lost();
    if (!heap) {
        heap = tide_os_record(sizeof *heap);
        if (!heap)
            return NULL;
        heap->process = getpid();
        tide_set_relaxed(&heap->thread, gettid());
        tide_lock_reset(&heap->lock, false);
        tide_set_relaxed(&heap->state, HEAP_OWNED);
        enlist(heap);
    }
    heap->tenant.shard = tide_arena_shard_for_cpu(tide_os_cpu_now());
    own = heap;
    if (!tide_options.check)
        tide_heap_fast = heap;
    pthread_setspecific(key, heap); /* may allocate, from the heap just made; may fail */
    errno = saved_errno;
    return heap;
}

struct heap *tide_heap_enter(void)
{
    if (TIDE_LIKELY(own != NULL && own != GONE))
        return own;
    if (own == GONE) {
        tide_lock(&late_lock);
        return &late;
    }
    return be_born();
}

void tide_heap_leave(struct heap *heap)
{
    if (TIDE_UNLIKELY(heap == &late))
        tide_unlock(&late_lock);
}

bool tide_heap_is_late(const struct heap *heap)
{
    return heap == &late;
}

struct tide_lock *tide_heap_start_lock(void)
{
    return &start_lock;
}

struct tide_lock *tide_heap_late_lock(void)
{
    return &late_lock;
}

struct tide_lock *tide_heap_orphans_lock(void)
{
    return &orphans_lock;
}

/* ---- Start ------------------------------------------------------------- */

static bool start_layers(char *const *environment)
{
    unsigned shards;

    tide_os_start();
    if (tide_os_page_bytes > TIDE_SLOT_BYTES)
        tide_base_fatal("the " TIDE_GEOMETRY_NAME " geometry needs memory pages of at most %zu "
                        "bytes, and this system's have %zu: configure --with-geometry=server",
                        TIDE_SLOT_BYTES, tide_os_page_bytes);
    tide_options_read(environment);
    if (!tide_address_map_start())
        return false;
    shards = tide_options.shards ? (unsigned)tide_options.shards : tide_os_cpu_count();
    tide_arena_start(shards, tide_options.arena_lock == TIDE_ARENA_LOCK_GLOBAL);
    tide_huge_start();
    if (pthread_key_create(&key, end_thread) != 0)
        tide_base_fatal("the program has used up all pthread keys, and one is needed to see "
                        "threads end");
    tide_lock_reset(&late.lock, false);
    tide_set_relaxed(&late.state, HEAP_OWNED);
    enlist(&late);
    if (tide_options.help)
        tide_options_print();
    return true;
}

bool tide_heap_start(char *const *environment)
{
    static bool has_environment; /* under start_lock */

    tide_lock(&start_lock);
    if (!tide_relaxed(&is_started)) {
        has_environment = environment != NULL;
        tide_set_release(&is_started, start_layers(environment));
    } else if (environment && !has_environment) {
        has_environment = true;
        tide_options_warn_late(environment);
    }
    tide_unlock(&start_lock);
    return tide_relaxed(&is_started);
}

/* ---- Fork -------------------------------------------------------------- */

static struct heap *first_locked; /* under the orphans' lock: the newest heap of those locked */

/* A heap born meanwhile isn't among them: it can't become an orphan as long as
 * the orphans' lock is held, so nobody visits it. */
void tide_heap_lock_all(void)
{
    first_locked = tide_heap_next(NULL);
    for (struct heap *heap = first_locked; heap; heap = tide_heap_next(heap))
        tide_lock(&heap->lock);
}

void tide_heap_unlock_all(bool in_child)
{
    for (struct heap *heap = first_locked; heap; heap = tide_heap_next(heap))
        tide_lock_after_fork(&heap->lock, in_child);
}

/* The parent's other threads may have been anywhere in their heaps, and fork
 * does not copy all pages at one moment: what the child sees of those heaps
 * can't be trusted, so nothing is ever taken from them again.  Frees of their
 * blocks still go to their pools' returned lists.  Orphans were at rest, as
 * their locks were held.  What such a thread held on to for good: its tenancies,
 * slots that it was purging, and a pool of this thread's that it was about to
 * put in the inbox. */
void tide_heap_after_fork_in_child(void)
{
    struct heap *heap;

    tide_maintenance_after_fork_in_child();
    for (heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (heap != own && heap != &late && tide_relaxed(&heap->state) == HEAP_OWNED) {
            tide_set_relaxed(&heap->state, HEAP_RETIRED);
            tide_lock_reset(&heap->lock, false); /* one that was just born may be locked */
        }
    if (own && own != GONE) {
        own->process = getpid();
        tide_set_relaxed(&own->thread, gettid());
    }
}

/* ---- Invariants -------------------------------------------------------- */

static void check_list(struct heap *heap, unsigned size_class)
{
    uint32_t foreign = 0;

    for (struct block *block = heap->list[size_class].freed; block; block = block->next) {
        struct pool *pool = tide_pool_of(block);

        TIDE_REQUIRE(pool->size_class == size_class && tide_pool_has_block(pool, block));
        TIDE_REQUIRE(tide_relaxed(&pool->owner) != heap || pool == heap->current[size_class]);
        foreign += tide_relaxed(&pool->owner) != heap;
    }
    TIDE_REQUIRE(foreign <= heap->foreign[size_class]);
    for (struct block *block = heap->rest[size_class]; block; block = block->next)
        TIDE_REQUIRE(tide_pool_of(block) == heap->current[size_class]);
}

static void check_pool_of(struct heap *heap, struct pool *pool, unsigned size_class)
{
    TIDE_REQUIRE(tide_relaxed(&pool->owner) == heap && pool->size_class == size_class);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_USED);
    tide_pool_check(pool);
}

void tide_heap_check(struct heap *heap)
{
    uint32_t stocked = 0;

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        check_list(heap, c);
        if (heap->current[c])
            check_pool_of(heap, heap->current[c], c);
        for (struct pool *pool = heap->used[c]; pool; pool = pool->next) {
            TIDE_REQUIRE(pool != heap->current[c]);
            TIDE_REQUIRE(!pool->next || pool->next->prev == pool);
            check_pool_of(heap, pool, c);
        }
    }
    for (struct pool *pool = heap->stock; pool; pool = pool->next, stocked++)
        TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && pool->slots == 1);
    TIDE_REQUIRE(stocked == heap->stock_count);
}
