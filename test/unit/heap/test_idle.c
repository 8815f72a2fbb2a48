/* test_idle.c - heap/idle.h: what threads that sleep give back, and that they,
 * and those that don't sleep, never notice
 *
 * The looks are made here, one at a time, as there is no maintenance thread.
 * Threads sleep between their jobs; where one is lent and wakes up, the test
 * stands in for it, as idle.c does.
 */
#include "heap/idle.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "heap/remote.h"
#include <limits.h>

#include "heaps.h"
#include "os/map.h"

/* A test in a program of its own, where the kernel has what it takes. */
#define SCENARIO(name, setting)                                                               \
    Test(idle, name, .timeout = 120)                                                          \
    {                                                                                         \
        if (!tide_os_barrier())                                                               \
            cr_skip_test("this kernel has no barriers");                                      \
        assert_ended_well(run_program(#name, setting, NULL));                                 \
    }                                                                                         \
    PROGRAM(name)

enum { PAGED = 1024 }; /* a size whose pools have several pages in each geometry, full of blocks */

/* ---- Threads that sleep ------------------------------------------------ */

struct sleeper {
    struct peer peer;
    struct heap *heap;
};

static void start_sleeper(struct sleeper *sleeper)
{
    peer_start(&sleeper->peer);
    peer_do(&sleeper->peer, get_heap, &sleeper->heap);
}

static void wake_for(struct sleeper *sleeper, void (*function)(void *), void *argument)
{
    peer_do(&sleeper->peer, function, argument);
    let_sleep(sleeper->heap);
}

/* How many heaps wait for the next look. */
static size_t look(void)
{
    size_t left;

    tide_lock(tide_maintenance_lock());
    left = tide_idle_look((struct tide_effort){ 1000, 1000, UINT_MAX });
    tide_unlock(tide_maintenance_lock());
    return left;
}

/* The first look sees that it moves no more, the second gives all back. */
static void look_twice(void)
{
    look();
    look();
}

static size_t give_back_all(void)
{
    size_t returned;

    tide_lock(tide_maintenance_lock());
    returned = tide_idle_give_back_all(false);
    tide_unlock(tide_maintenance_lock());
    return returned;
}

/* Also of other threads' blocks. */
static bool keeps_nothing(const struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        if (heap->surplus[c].first)
            return false;
    return is_bare(heap) && heap->outbox.bytes == 0 && heap->stock_count == 0;
}

/* ---- What is given back ------------------------------------------------ */

enum { FOREIGN = 60, LENT = 192 }; /* more than two batches */

static void *kept[TIDE_CLASSES], *foreign[2][FOREIGN]; /* large and small ones */
static void *pool_blocks[MOST_BLOCKS], *block, *another;

/* Leaves a block of each class, the list of each, a stocked pool, and foreign
 * blocks. */
static void use_all(void *unused)
{
    (void)unused;
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        void *freed = allocate(tide_class_bytes[c]);

        kept[c] = memset(allocate(tide_class_bytes[c]), (int)c + 1, tide_class_bytes[c]);
        tide_free(memset(freed, 0xff, tide_class_bytes[c]));
    }
    for (uint32_t n = 0; n < 2 * capacity_of(16); n++)
        pool_blocks[n] = allocate(16);
    free_all(pool_blocks, 2 * capacity_of(16));
    free_all(foreign[0], FOREIGN);
    free_all(foreign[1], FOREIGN);
    memset(foreign, 0, sizeof foreign);
}

static void check_kept(void *unused)
{
    (void)unused;
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        const unsigned char *bytes = kept[c];

        for (size_t n = 0; n < tide_class_bytes[c]; n++)
            TIDE_REQUIRE(bytes[n] == c + 1);
        tide_free(kept[c]);
    }
}

static void let_use_all(struct sleeper *sleeper)
{
    leave_maintenance_out();
    for (int n = 0; n < FOREIGN; n++) {
        foreign[0][n] = allocate(LENT);
        foreign[1][n] = allocate(TIDE_CACHE_LINE / 2);
    }
    start_sleeper(sleeper);
    wake_for(sleeper, use_all, NULL);
}

static void check_that_all_goes(void)
{
    struct sleeper sleeper;
    struct heap *heap;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    TIDE_REQUIRE(heap->stock && list_of(heap, 1) && heap->current[1] && heap->tenant.arena);
    TIDE_REQUIRE(heap->surplus[tide_class_of(LENT)].first && heap->outbox.bytes > 0);
    look();
    TIDE_REQUIRE(!is_bare(heap)); /* it might be about to go on */
    look();
    TIDE_REQUIRE(keeps_nothing(heap));
    TIDE_REQUIRE(heap->moves_rested == tide_relaxed(&heap->moves));
    tide_heap_check(heap);
    for (int round = 0; round < 3; round++) {
        wake_for(&sleeper, check_kept, NULL);
        tide_api_check();
        wake_for(&sleeper, use_all, NULL);
        tide_api_check();
        look_twice();
        TIDE_REQUIRE(keeps_nothing(heap));
    }
    TIDE_REQUIRE(look() == 0);
}

SCENARIO(a_thread_that_sleeps_gives_back_all_it_keeps, NULL)
{
    check_that_all_goes();
}

SCENARIO(so_does_one_whose_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_that_all_goes();
}

SCENARIO(what_others_lent_it_comes_home, NULL)
{
    struct sleeper sleeper;
    struct pool *pool;

    block = allocate(LENT); /* this thread's, of the pool that the foreign ones are of */
    pool = tide_pool_of(block);
    let_use_all(&sleeper);
    TIDE_REQUIRE(stored_of(LENT) > 0 && allocated_in(pool) > 1);
    look_twice();
    tide_heap_empty_depot(false);
    give_back_all();
    TIDE_REQUIRE(allocated_in(pool) == 1);
    TIDE_REQUIRE(pools_of_size(LENT) == 2); /* this one, and that of the block the thread kept */
    tide_api_check();
}

SCENARIO(all_that_sleep_give_back_on_demand, NULL)
{
    static struct sleeper sleepers[3];

    leave_maintenance_out();
    for (int n = 0; n < 3; n++) {
        start_sleeper(&sleepers[n]);
        wake_for(&sleepers[n], use_all, NULL);
    }
    give_back_all();
    for (int n = 0; n < 3; n++)
        TIDE_REQUIRE(keeps_nothing(sleepers[n].heap));
    tide_api_check();
}

SCENARIO(a_look_at_some_goes_on_with_the_next, NULL)
{
    static struct sleeper sleepers[5];
    int bare = 0;

    leave_maintenance_out();
    for (int n = 0; n < 5; n++) {
        start_sleeper(&sleepers[n]);
        wake_for(&sleepers[n], use_all, NULL);
    }
    look();
    TIDE_REQUIRE(tide_idle_look((struct tide_effort){ 2, 0, UINT_MAX }) > 0);
    for (int n = 0; n < 5; n++)
        bare += keeps_nothing(sleepers[n].heap);
    TIDE_REQUIRE(0 < bare && bare < 5);
    while (tide_idle_look((struct tide_effort){ 2, 0, UINT_MAX }) > 0)
        ;
    for (int n = 0; n < 5; n++)
        TIDE_REQUIRE(keeps_nothing(sleepers[n].heap));
}

/* ---- A thread that wakes up while it is lent --------------------------- */

static struct heap nobodys; /* has no blocks */

/* From here to take_back this thread stands in. */
static void lend(struct heap *heap)
{
    tide_lock(&heap->lock);
    tide_set_relaxed(&heap->is_lent, true);
    *tide_relaxed(&heap->fast) = &nobodys;
    TIDE_REQUIRE(tide_os_barrier());
}

static void take_back(struct heap *heap)
{
    tide_set_release(&heap->is_lent, false);
    tide_unlock(&heap->lock);
}

/* Until it is inside its heap, and sleeps: for the lock. */
static void wait_until_it_waits(const struct sleeper *sleeper)
{
    while (tide_relaxed(&sleeper->heap->inside) == 0)
        sched_yield();
    let_sleep(sleeper->heap);
}

static bool is_done(struct sleeper *sleeper)
{
    int value;

    TIDE_REQUIRE(sem_getvalue(&sleeper->peer.done, &value) == 0);
    return value > 0;
}

static void call_malloc(void *unused)
{
    (void)unused;
    block = allocate(100);
}

static void call_aligned_alloc(void *unused)
{
    (void)unused;
    another = tide_aligned_alloc(64, 128);
}

static void call_realloc(void *unused)
{
    (void)unused;
    block = tide_realloc(block, 500);
}

static void call_free(void *unused)
{
    (void)unused;
    tide_free(block);
}

static void call_free_of_foreign(void *foreign_block)
{
    tide_free(foreign_block);
}

static void call_idle(void *unused)
{
    (void)unused;
    tide_thread_idle();
}

static void expect_fast_paths(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(tide_options.check || tide_heap_fast == own_heap());
}

static void check_waits_in(struct sleeper *sleeper, void (*call)(void *), void *argument)
{
    lend(sleeper->heap);
    peer_ask(&sleeper->peer, call, argument);
    wait_until_it_waits(sleeper);
    TIDE_REQUIRE(!is_done(sleeper));
    tide_heap_give_back(sleeper->heap);
    TIDE_REQUIRE(keeps_nothing(sleeper->heap) && !is_done(sleeper));
    take_back(sleeper->heap);
    peer_wait(&sleeper->peer);
    let_sleep(sleeper->heap);
    TIDE_REQUIRE(tide_relaxed(&sleeper->heap->inside) == 0);
    tide_api_check();
}

static void check_all_calls_wait(void)
{
    struct sleeper sleeper;
    void *foreign_block = allocate(100);

    let_use_all(&sleeper);
    check_waits_in(&sleeper, call_malloc, NULL);
    check_waits_in(&sleeper, call_aligned_alloc, NULL);
    TIDE_REQUIRE(another);
    check_waits_in(&sleeper, call_realloc, NULL);
    check_waits_in(&sleeper, call_free, NULL);
    check_waits_in(&sleeper, call_free_of_foreign, foreign_block);
    check_waits_in(&sleeper, call_idle, NULL);
    wake_for(&sleeper, check_kept, NULL);
    wake_for(&sleeper, expect_fast_paths, NULL);
}

SCENARIO(a_thread_that_wakes_up_while_it_is_lent_waits_and_goes_on, NULL)
{
    check_all_calls_wait();
}

SCENARIO(so_does_one_that_wakes_up_while_its_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_all_calls_wait();
}

/* Nothing has to be undone for it. */
SCENARIO(a_thread_that_was_lent_finds_its_fast_paths_itself, NULL)
{
    struct sleeper sleeper;

    let_use_all(&sleeper);
    look_twice();
    TIDE_REQUIRE(*tide_relaxed(&sleeper.heap->fast) != sleeper.heap);
    wake_for(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(*tide_relaxed(&sleeper.heap->fast) == sleeper.heap);
}

SCENARIO(a_thread_that_ends_while_it_is_lent_waits, NULL)
{
    struct sleeper sleeper;
    struct heap *heap;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    lend(heap);
    peer_ask(&sleeper.peer, NULL, NULL);
    wait_until_it_waits(&sleeper);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_OWNED);
    tide_heap_give_back(heap);
    take_back(heap);
    pthread_join(sleeper.peer.thread, NULL);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_ORPHAN && !tide_relaxed(&heap->fast));
    tide_api_check();
    run_thread(check_kept, NULL);
    tide_api_check();
}

/* ---- Who is left alone ------------------------------------------------- */

static atomic_bool is_over;

static void compute(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over))
        ;
}

/* More than the lists have. */
static void use_another_class(void *unused)
{
    (void)unused;
    for (uint32_t n = 0; n <= capacity_of(TIDE_POOLED_MAX); n++)
        block = allocate(TIDE_POOLED_MAX);
}

/* Maintenance can sleep though the thread computes forever. */
SCENARIO(one_that_computes_is_asked_a_few_times_until_it_moves_a_pool, NULL)
{
    struct sleeper sleeper;
    struct heap *heap;
    unsigned refusals;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    peer_ask(&sleeper.peer, compute, NULL);
    look_twice();
    TIDE_REQUIRE(heap->refusals == 1 && look() > 0);
    while (look() > 0)
        ;
    refusals = heap->refusals;
    TIDE_REQUIRE(refusals > 1 && !is_bare(heap));
    atomic_store(&is_over, true);
    peer_wait(&sleeper.peer);
    let_sleep(sleeper.heap);
    TIDE_REQUIRE(look() == 0 && heap->refusals == refusals && !is_bare(heap));
    wake_for(&sleeper, use_another_class, NULL);
    look_twice();
    TIDE_REQUIRE(keeps_nothing(heap));
}

static sem_t may_leave;

static void sleep_inside(void *unused)
{
    struct heap *heap = tide_heap_enter();

    (void)unused;
    while (sem_wait(&may_leave) != 0)
        ;
    tide_heap_leave(heap);
}

SCENARIO(one_that_sleeps_in_the_allocator_is_left_alone, NULL)
{
    struct sleeper sleeper;

    let_use_all(&sleeper);
    sem_init(&may_leave, 0, 0);
    peer_ask(&sleeper.peer, sleep_inside, NULL);
    wait_until_it_waits(&sleeper);
    look_twice();
    give_back_all();
    TIDE_REQUIRE(!is_bare(sleeper.heap) && list_of(sleeper.heap, 1));
    sem_post(&may_leave);
    peer_wait(&sleeper.peer);
    let_sleep(sleeper.heap);
    give_back_all();
    TIDE_REQUIRE(keeps_nothing(sleeper.heap));
}

/* ---- Heaps whose thread is gone ---------------------------------------- */

static struct heap *lost;

static void *vanish(void *unused)
{
    lost = own_heap();
    block = memset(allocate(100), 1, 100);
    syscall(SYS_exit, 0);
    return unused;
}

/* Its thread-local storage, which the heap points to, goes with its stack. */
static void start_and_vanish(void)
{
    size_t bytes = (size_t)1 << 20;
    void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;

    TIDE_REQUIRE(stack != MAP_FAILED);
    pthread_attr_init(&attributes);
    TIDE_REQUIRE(pthread_attr_setstack(&attributes, stack, bytes) == 0);
    TIDE_REQUIRE(pthread_create(&thread, &attributes, vanish, NULL) == 0);
    pthread_join(thread, NULL);
    TIDE_REQUIRE(munmap(stack, bytes) == 0);
}

static void expect_lost_block(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(own_heap() == lost && ((char *)block)[99] == 1);
    tide_free(block);
}

SCENARIO(one_that_ended_unseen_is_left_for_its_heir, NULL)
{
    leave_maintenance_out();
    own_heap();
    start_and_vanish();
    give_back_all();
    while (look() > 0)
        ;
    TIDE_REQUIRE(tide_relaxed(&lost->state) == HEAP_OWNED && !is_bare(lost));
    run_thread(expect_lost_block, NULL);
    TIDE_REQUIRE(tide_relaxed(&lost->state) == HEAP_ORPHAN);
    tide_api_check();
}

/* ---- Free pages of used pools ------------------------------------------ */

enum { POOLS = 4 };

static void *paged[POOLS][MOST_BLOCKS];

/* Pools that have one block each; all but the last are used, the last one first. */
static void make_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++) {
        fill_pool(PAGED, paged[n]);
        memset(paged[n][0], n + 1, PAGED);
    }
    for (int n = 0; n < POOLS; n++)
        free_all(paged[n] + 1, capacity_of(PAGED) - 1);
}

/* Of pages but the first, on which a block is allocated. */
static bool is_whole(int pool)
{
    return is_resident(paged[pool][capacity_of(PAGED) - 1]);
}

/* Such as touch their pages. */
static void touch_thin_pools(void *unused)
{
    for (int n = 0; n < POOLS; n++)
        for (uint32_t k = 0; k < capacity_of(PAGED); k++)
            TIDE_REQUIRE(is_resident(paged[n][k]));
    (void)unused;
}

static void check_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++)
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((char *)paged[n][0])[k] == n + 1);
}

/* Takes all that the current pool and the next used one have, and one of the one
 * after; then the next one has free blocks again. */
static void use_next_pool(void *unused)
{
    static void *taken[2 * MOST_BLOCKS];
    uint32_t free = capacity_of(PAGED) - 1;

    (void)unused;
    for (uint32_t n = 0; n < 2 * free + 1; n++)
        taken[n] = allocate(PAGED);
    for (uint32_t n = free; n < 2 * free; n++)
        TIDE_REQUIRE(tide_pool_of(taken[n]) == tide_pool_of(paged[POOLS - 2][0]));
    free_all(taken + free, free);
}

SCENARIO(a_busy_thread_keeps_pages_of_pools_it_takes_from, NULL)
{
    struct sleeper sleeper;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    wake_for(&sleeper, touch_thin_pools, NULL);
    look();
    TIDE_REQUIRE(is_whole(0) && is_whole(1) && is_whole(2) && is_whole(3));
    wake_for(&sleeper, use_next_pool, NULL);
    look();
    TIDE_REQUIRE(!is_whole(0) && is_whole(1) && is_whole(2) && is_whole(3));
    TIDE_REQUIRE(sleeper.heap->current[tide_class_of(PAGED)] == tide_pool_of(paged[1][0]));
    wake_for(&sleeper, use_another_class, NULL);
    look();
    TIDE_REQUIRE(!is_whole(0) && is_whole(1) && !is_whole(2) && is_whole(3));
    tide_api_check();
    wake_for(&sleeper, check_thin_pools, NULL);
}

SCENARIO(one_that_sleeps_gives_back_all_free_pages, NULL)
{
    struct sleeper sleeper;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    TIDE_REQUIRE(give_back_all() >= POOLS * (capacity_of(PAGED) * PAGED - tide_os_page_bytes));
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && !is_whole(3));
    TIDE_REQUIRE(give_back_all() == 0);
    tide_api_check();
    for (int round = 0; round < 3; round++) {
        wake_for(&sleeper, check_thin_pools, NULL);
        for (int n = 0; n < POOLS; n++)
            wake_for(&sleeper, use_another_class, NULL);
        give_back_all();
        tide_api_check();
    }
}

SCENARIO(orphans_give_back_free_pages, NULL)
{
    leave_maintenance_out();
    own_heap();
    run_thread(make_thin_pools, NULL);
    look_twice();
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && is_whole(3));
    tide_heap_give_back_unowned(); /* the last pool is its current one until then */
    look_twice();
    TIDE_REQUIRE(!is_whole(3));
    check_thin_pools(NULL);
    tide_api_check();
}

enum { SHARED = 2048, SHARED_COUNT = 200, SHARED_STEP = 4 };

/* Whether of the pages of shared blocks those are resident that have some. */
static bool has_only_used_pages(void *const *shared)
{
    for (int n = 0; n < SHARED_COUNT; n++) {
        uintptr_t page = tide_round_down((uintptr_t)shared[n], tide_os_page_bytes);
        bool is_used = false;

        for (int k = 0; k < SHARED_COUNT; k += SHARED_STEP)
            is_used |= tide_round_down((uintptr_t)shared[k], tide_os_page_bytes) == page;
        if (is_resident(shared[n]) != is_used)
            return false;
    }
    return true;
}

SCENARIO(the_common_heap_gives_back_free_pages, NULL)
{
    static void *shared[SHARED_COUNT];

    leave_maintenance_out();
    make_many_heaps();
    set_stash(0);
    for (int n = 0; n < SHARED_COUNT; n++)
        memset(shared[n] = allocate(SHARED), 1, SHARED);
    TIDE_REQUIRE(is_of_common_heap(shared[0]) && is_of_common_heap(shared[SHARED_COUNT - 1]));
    for (int n = 0; n < SHARED_COUNT; n++)
        if (n % SHARED_STEP != 0)
            tide_free(shared[n]);
    tide_heap_give_back_unowned();
    TIDE_REQUIRE(!has_only_used_pages(shared));
    look_twice();
    TIDE_REQUIRE(has_only_used_pages(shared));
    tide_api_check();
}

/* ---- The pass over the used pools -------------------------------------- */

IN_NEW_THREAD(idle, a_pass_goes_on_behind_a_pool_that_its_owner_moves, NULL)
{
    unsigned c = tide_class_of(PAGED);
    struct heap *heap = own_heap();
    struct pool *first, *second, *third;

    make_thin_pools(NULL);
    first = heap->used[c];
    second = first->next;
    third = second->next;
    heap->cursor = second;
    tide_heap_relink(heap, first);
    TIDE_REQUIRE(heap->used[c] == first && heap->cursor == second);
    heap->cursor = first;
    tide_free(tide_pool_start(first)); /* its only block */
    TIDE_REQUIRE(heap->used[c] == second && heap->cursor == second);
    tide_heap_relink(heap, second);
    TIDE_REQUIRE(heap->used[c] == second && heap->cursor == third);
    for (uint32_t n = 0; n < 2 * capacity_of(PAGED) - 1; n++) /* the current, then the second */
        allocate(PAGED);
    TIDE_REQUIRE(heap->current[c] == third && heap->cursor == NULL);
}

/* Those with freed blocks come first; a pool's may all go with its pages. */
IN_NEW_THREAD(idle, pools_whose_freed_blocks_went_come_last, NULL)
{
    unsigned c = tide_class_of(PAGED), in_page = (unsigned)tide_os_page_bytes / PAGED;
    struct heap *heap = own_heap();
    struct pool *some, *whole;

    some = fill_pool(PAGED, paged[0]);
    whole = fill_pool(PAGED, paged[1]);
    fill_pool(PAGED, paged[2]);
    for (unsigned page = 0; page < 4; page++)
        tide_free(paged[0][page * in_page]);
    free_all(paged[1], in_page);
    TIDE_REQUIRE(heap->used[c] == whole && whole->next == some);
    TIDE_REQUIRE(tide_thread_idle() == tide_os_page_bytes);
    TIDE_REQUIRE(heap->used[c] == some && some->next == whole && !whole->freed);
    TIDE_REQUIRE(!is_resident(paged[1][0]) && is_resident(paged[0][0]));
    tide_heap_check(heap);
}

/* ---- Many -------------------------------------------------------------- */

enum { MANY = 1000, LEAST_EACH = 4096, STACK_BYTES = 256 << 10 };

static struct many {
    pthread_t thread;
    void *kept;
    sem_t asked, done;
} many[MANY];

/* Half a megabyte, of every class. */
static void use_much(void)
{
    void *first[TIDE_CLASSES];

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct block *blocks = NULL, *freed;

        first[c] = memset(allocate(tide_class_bytes[c]), 1, tide_class_bytes[c]);
        for (size_t bytes = 0; bytes < LEAST_EACH; bytes += tide_class_bytes[c]) {
            freed = allocate(tide_class_bytes[c]);
            freed->next = blocks;
            blocks = freed;
        }
        while ((freed = blocks)) {
            blocks = freed->next;
            tide_free(freed);
        }
    }
    free_all(first, TIDE_CLASSES);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void *be_one_of_many(void *argument)
{
    struct many *one = argument;

    one->kept = memset(allocate(100), 7, 100);
    use_much();
    sem_post(&one->done);
    wait_for(&one->asked);
    TIDE_REQUIRE(((char *)one->kept)[99] == 7);
    tide_free(one->kept);
    use_much();
    return NULL;
}

static void start_many(void)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (int n = 0; n < MANY; n++) {
        sem_init(&many[n].asked, 0, 0);
        sem_init(&many[n].done, 0, 0);
        TIDE_REQUIRE(pthread_create(&many[n].thread, &attributes, be_one_of_many, &many[n]) == 0);
        wait_for(&many[n].done);
    }
}

/* Of the arenas, without their records. */
static size_t resident_pages(void)
{
    static unsigned char resident[TIDE_ARENA_BYTES / 4096];
    size_t count = 0, records = TIDE_HEADER_SLOTS << TIDE_SLOT_SHIFT;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena)) {
        size_t bytes = TIDE_ARENA_BYTES - records;

        TIDE_REQUIRE(mincore((char *)arena + records, bytes, resident) == 0);
        for (size_t page = 0; page < bytes / tide_os_page_bytes; page++)
            count += resident[page] & 1;
    }
    return count;
}

SCENARIO(a_thousand_threads_that_sleep_keep_the_pages_of_their_blocks, NULL)
{
    size_t before, after;

    leave_maintenance_out();
    start_many();
    before = resident_pages();
    while (tide_maintenance_look() > 0)
        ;
    after = resident_pages();
    TIDE_REQUIRE(before > 10 * MANY && after <= 2 * MANY);
    for (int n = 0; n < MANY; n++)
        sem_post(&many[n].asked);
    for (int n = 0; n < MANY; n++)
        pthread_join(many[n].thread, NULL);
    tide_api_check();
}
