/* heap/heap.c - a heap's life: birth, thread exit, fork; what comes in between is
 * in orphans.c
 *
 * Three words of thread-local storage, which only their thread writes: tide_heap_fast,
 * which the fast paths start from, and own, the thread's heap (NULL before the first
 * call, GONE after the thread's destructors and in tidepool's own threads).  A thread
 * that is GONE uses the common heap.  The third is who is the process's first thread.
 */
#include "heap/heap.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "arena/address_map.h"
#include "base/fatal.h"
#include "base/options.h"
#include "heap/bound.h"
#include "heap/common.h"
#include "heap/fork.h"
#include "heap/heap_fast.h"
#include "heap/maintenance.h"
#include "heap/nodes.h"
#include "heap/reclaim.h"
#include "os/cgroup.h"
#include "os/cpu.h"
#include "os/limits.h"
#include "os/map.h"
#include "os/process.h"
#include "os/records.h"
#include "os/thread.h"

#define GONE ((struct heap *)1)

struct heap tide_heap_none = { .door = &tide_heap_none };

TIDE_TLS struct heap *tide_heap_fast = &tide_heap_none;
static TIDE_TLS struct heap *own;
static TIDE_TLS bool is_first; /* the process's first thread, as it has the same number */

static struct tide_lock start_lock = TIDE_LOCK_INITIALIZER;
static _Atomic bool is_started;
static pthread_key_t key; /* its destructor runs when a thread with a heap ends */

static struct heap *_Atomic heaps; /* pushed to by any thread, never taken from */

/* ---- Birth and exit ---------------------------------------------------- */

/* A thread may find another's heap in its key: the C library doesn't clear what
 * a thread set past its destructors, and gives the stack with it to a new one. */
static void end_thread(void *argument)
{
    struct heap *heap = argument;
    int saved_errno = errno;
    bool is_taken, is_passing;

    if (heap != own)
        return;
    own = GONE;
    tide_heap_fast = &tide_heap_none;
    is_passing = tide_fork_pass_in();
    is_taken = tide_heap_begin(heap) != heap;
    if (TIDE_DEBUG && !is_taken)
        tide_heap_check(heap);
    tide_heap_hand_over(heap, is_taken);
    if (is_passing)
        tide_fork_pass_out();
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

/* A program with a second thread has shards for the CPUs it may use at a time;
 * one with a single thread doesn't read files for that. */
static void fit_shards(void)
{
    static _Atomic bool is_done;
    struct tide_cgroup group;
    unsigned cpus;

    if (tide_options.shards || tide_heap_count() < 2 || atomic_exchange(&is_done, true))
        return;
    if (tide_os_cgroup_find(&group, "cpu") && tide_os_cgroup_cpus(&group, &cpus))
        tide_arena_limit_homes(cpus);
}

/* A heap for the calling thread, that nobody else uses; NULL when there is no memory. */
static struct heap *make(void)
{
    struct heap *heap = tide_heap_adopt();

    if (heap)
        return heap;
    heap = tide_os_record(sizeof *heap);
    if (!heap)
        return NULL;
    tide_set_relaxed(&heap->door, &tide_heap_none);
    tide_set_relaxed(&heap->state, HEAP_OWNED);
    enlist(heap);
    tide_heap_count_born();
    return heap;
}

/* The thread that started the allocator has the process's number, and isn't asked.  A
 * heap that is born in the child of a vfork is the parent's thread's, whose number isn't
 * known there. */
static void note_owner(struct heap *heap)
{
    if (is_first)
        heap->thread = (pid_t)tide_relaxed(tide_os_process_number);
    else
        heap->thread = tide_os_process_is_owner() ? gettid() : 0;
}

/* With checks on all calls take the slow path. */
static bool be_born(void)
{
    int saved_errno = errno;
    struct heap *heap;
    unsigned cpu;

    if (!tide_acquire(&is_started) && !tide_heap_start(environ))
        return false;
    heap = make();
    if (!heap)
        return false;
    note_owner(heap);
    fit_shards();
    cpu = tide_os_cpu_now();
    tide_arena_settle(&heap->tenant, cpu);
    tide_nodes_note_heap(cpu);
    atomic_store(&heap->state, HEAP_OWNED);
    tide_heap_open(heap);
    own = heap;
    if (!tide_options.check)
        tide_heap_fast = heap;
    tide_set_relaxed(&tide_bound_most, 0); /* it depends on how many heaps there are */
    pthread_setspecific(key, heap); /* may allocate, from the heap just made; may fail */
    errno = saved_errno;
    return true;
}

static bool has_own(void)
{
    return own != NULL && own != GONE;
}

struct heap *tide_heap_own(void)
{
    return has_own() ? own : NULL;
}

struct heap *tide_heap_enter(void)
{
    tide_fork_check();
    if (TIDE_UNLIKELY(own == NULL)) {
        if (tide_os_is_own_thread())
            own = GONE;
        else if (!be_born())
            return NULL;
    }
    if (TIDE_LIKELY(own != GONE)) {
        if (TIDE_LIKELY(tide_heap_begin(own) == own))
            return own;
        tide_heap_end(own);
    }
    return tide_common_enter();
}

void tide_heap_leave(struct heap *heap)
{
    if (TIDE_UNLIKELY(tide_heap_is_common(heap)))
        tide_common_leave();
    else
        tide_heap_end(heap);
}

bool tide_heap_is_at_home(void)
{
    return has_own() && tide_os_process_is_owner();
}

struct tide_lock *tide_heap_start_lock(void)
{
    return &start_lock;
}

/* ---- Start ------------------------------------------------------------- */

/* What needs no memory, and is there though nothing else can be started: the
 * shards and locks that calls look at which find that there is no memory. */
static void start_locks(void)
{
    static bool is_done; /* under start_lock */

    if (is_done)
        return;
    is_done = true;
    tide_arena_start(tide_options.shards ? (unsigned)tide_options.shards : tide_os_cpu_count(),
                     tide_options.arena_lock == TIDE_ARENA_LOCK_GLOBAL);
}

static bool start_layers(char *const *environment)
{
    tide_os_start();
    tide_os_process_start();
    is_first = gettid() == (pid_t)tide_relaxed(tide_os_process_number);
    if (tide_os_page_bytes > TIDE_SLOT_BYTES)
        tide_base_fatal("the " TIDE_GEOMETRY_NAME " geometry needs memory pages of at most %zu "
                        "bytes, and this system's have %zu: configure --with-geometry=server",
                        TIDE_SLOT_BYTES, tide_os_page_bytes);
    tide_options_read(environment);
    tide_nodes_start(environment);
    start_locks();
    if (!tide_address_map_start())
        return false;
    if (tide_options.limit_soft || tide_options.limit_hard)
        tide_os_limits_start(tide_options.limit_soft, tide_options.limit_hard);
    if (pthread_key_create(&key, end_thread) != 0)
        tide_base_fatal("the program has used up all pthread keys, and one is needed to see "
                        "threads end");
    enlist(tide_common_start());
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

/* The one thread of a child has the process's number, too. */
void tide_heap_note_owner(void)
{
    is_first = true;
    if (has_own())
        note_owner(own);
}

/* The parent's other threads may have been anywhere in their heaps, and fork
 * does not copy all pages at one moment: what the child sees of those heaps
 * can't be trusted, so nothing is ever taken from them again.  Frees of their
 * blocks still go to their pools' returned lists.  Orphans were at rest
 * if all locks were taken and their doors are open.  What such a thread held on to
 * for good: its tenancies, slots that it was purging, and a pool of this thread's
 * that it was about to put in the inbox. */
static void retire_others(bool are_orphans)
{
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (heap != own && !tide_heap_is_common(heap) &&
            (are_orphans || tide_relaxed(&heap->state) == HEAP_OWNED))
            tide_set_relaxed(&heap->state, HEAP_RETIRED);
}

static size_t bytes_arriving(const struct heap *heap)
{
    size_t bytes = 0;

    for (const struct pool *pool = tide_relaxed(&heap->inbox); pool; pool = pool->next_inbox)
        bytes += tide_pool_bytes(pool);
    for (const struct pool *pool = heap->arrived[0]; pool; pool = pool->next_inbox)
        bytes += tide_pool_bytes(pool);
    return bytes;
}

/* What waits for heaps that were retired waits for good. */
static void count_returned(void)
{
    size_t bytes = 0;

    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (tide_relaxed(&heap->state) != HEAP_RETIRED)
            bytes += bytes_arriving(heap);
    tide_set_relaxed(&tide_bound_returned, bytes);
}

static void after_fork(void)
{
    tide_maintenance_after_fork_in_child();
    tide_reclaim_after_fork_in_child();
    tide_nodes_after_fork_in_child();
}

/* Nobody but a thread that looked for a lost heap can have closed the door. */
void tide_heap_after_fork_in_child(void)
{
    after_fork();
    retire_others(false);
    tide_heap_drop_orphans_in_child(false, has_own());
    count_returned();
    if (has_own())
        tide_heap_open(own);
    tide_heap_note_owner();
    tide_maintenance_weigh();
}

/* Who had taken this thread's heap may have been anywhere in it. */
void tide_heap_mend_in_child(void)
{
    after_fork();
    if (has_own() && tide_relaxed(&own->door) != own) {
        own = NULL;
        tide_heap_fast = &tide_heap_none;
    }
    retire_others(true);
    enlist(tide_common_replace());
    tide_heap_drop_orphans_in_child(true, has_own());
    count_returned();
    if (has_own())
        own->tenant.arena = NULL;
    tide_heap_note_owner();
    tide_maintenance_weigh();
}

/* ---- Invariants -------------------------------------------------------- */

static void check_list(struct heap *heap, unsigned size_class)
{
    uint32_t foreign = 0;

    for (struct block *block = heap->list[size_class].freed; block; block = block->next) {
        struct pool *pool = tide_pool_of(block);

        TIDE_REQUIRE(pool->size_class >= size_class && tide_pool_has_block(pool, block));
        foreign += pool != heap->current[size_class];
    }
    TIDE_REQUIRE(foreign == 0 || heap->foreign[size_class] > 0);
}

static void check_waiting(const struct heap *heap)
{
    size_t bytes = 0;

    for (int n = 0; n < OUTBOX_CHAINS; n++) {
        const struct chain *chain = &heap->outbox.chains[n];

        TIDE_REQUIRE(!chain->pool == !chain->first && !chain->first == !chain->last);
        bytes += chain->pool ? chain->count * chain->pool->block_bytes : 0;
    }
    TIDE_REQUIRE(bytes == heap->outbox.bytes);
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        uint32_t count = 0;

        for (struct block *block = heap->surplus[c].first; block; block = block->next, count++)
            TIDE_REQUIRE(tide_pool_of(block)->size_class == c);
        TIDE_REQUIRE(count == heap->surplus[c].count);
    }
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
            TIDE_REQUIRE((pool->next ? pool->next : heap->used[c])->prev == pool);
            check_pool_of(heap, pool, c);
        }
    }
    check_waiting(heap);
    for (struct pool *pool = heap->stock; pool; pool = pool->next, stocked++)
        TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && pool->slots == 1);
    TIDE_REQUIRE(stocked == heap->stock_count);
    TIDE_REQUIRE(!heap->wide || (tide_relaxed(&heap->wide->state) == POOL_EMPTY &&
                                 heap->wide->slots == TIDE_WIDE_SLOTS));
}
