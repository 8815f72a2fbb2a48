/* test_idle.c - upkeep/idle.h: what threads give back that are outside the allocator,
 * and who is left alone
 */
#include "upkeep/idle.h"

#include <stdatomic.h>
#include <sys/syscall.h>

#include "../heap/sleepers.h"
#include "arena/walk.h"

/* ---- What is given back ------------------------------------------------ */

static void check_that_all_goes(void)
{
    static struct sleeper sleeper;
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
        tide_check_all();
        wake_for(&sleeper, use_all, NULL);
        tide_check_all();
        look_twice();
        TIDE_REQUIRE(keeps_nothing(heap));
    }
    look_twice(); /* this thread's own */
    TIDE_REQUIRE(look() == 0);
}

SCENARIO(idle, a_thread_that_sleeps_gives_back_all_it_keeps, NULL)
{
    check_that_all_goes();
}

SCENARIO(idle, so_does_one_whose_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_that_all_goes();
}

static void *block;

SCENARIO(idle, what_others_lent_it_comes_home, NULL)
{
    static struct sleeper sleeper;
    struct pool *pool;

    block = allocate(LENT); /* this thread's, of the pool that the foreign ones are of */
    pool = tide_pool_of(block);
    let_use_all(&sleeper);
    TIDE_REQUIRE(stored_of(LENT) > 0 && allocated_in(pool) > 1);
    look_twice();
    tide_heap_empty_depot(false);
    give_back_all();
    give_back_all(); /* what the sleeper's sent home to this one's */
    TIDE_REQUIRE(allocated_in(pool) == 1);
    TIDE_REQUIRE(pools_of_size(LENT) == 2); /* this one, and that of the block the thread kept */
    tide_check_all();
}

SCENARIO(idle, all_that_sleep_give_back_on_demand, NULL)
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
    tide_check_all();
}

static bool look_on(void)
{
    bool is_more;

    tide_lock(tide_upkeep_lock());
    is_more = tide_idle_look_on();
    tide_unlock(tide_upkeep_lock());
    return is_more;
}

/* A round at a time, each of one heap's. */
SCENARIO(idle, a_look_goes_on_with_the_next_heap, NULL)
{
    static struct sleeper sleepers[3];
    int bare = 0, before;

    leave_maintenance_out();
    for (int n = 0; n < 3; n++) {
        start_sleeper(&sleepers[n]);
        wake_for(&sleepers[n], use_all, NULL);
    }
    while (look_on())
        ;
    for (int n = 0; n < 3; n++)
        TIDE_REQUIRE(!is_bare(sleepers[n].heap));
    do {
        before = bare;
        TIDE_REQUIRE(look_on());
        bare = 0;
        for (int n = 0; n < 3; n++)
            bare += keeps_nothing(sleepers[n].heap);
        TIDE_REQUIRE(bare == before || bare == before + 1);
    } while (bare < 3);
    while (look_on())
        ;
    TIDE_REQUIRE(!look_on());
    tide_check_all();
}

SCENARIO(idle, those_that_gave_back_are_asked_again_when_they_moved_something, NULL)
{
    static struct sleeper sleeper;
    size_t taken;

    let_use_all(&sleeper);
    give_back_all();
    tide_lock(tide_upkeep_lock());
    tide_idle_give_back_all(true);
    taken = tide_relaxed(&tide_idle_taken);
    tide_idle_give_back_all(true);
    TIDE_REQUIRE(tide_relaxed(&tide_idle_taken) == taken);
    wake_for(&sleeper, use_another_class, NULL);
    tide_idle_give_back_all(true);
    TIDE_REQUIRE(tide_relaxed(&tide_idle_taken) > taken);
    tide_unlock(tide_upkeep_lock());
    TIDE_REQUIRE(keeps_nothing(sleeper.heap));
}

/* ---- Threads that do something ------------------------------------------ */

static atomic_bool is_over;

static void compute(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over))
        ;
}

SCENARIO(idle, one_that_computes_gives_back_as_well, NULL)
{
    static struct sleeper sleeper;

    let_use_all(&sleeper);
    peer_ask(&sleeper.peer, compute, NULL);
    look_twice();
    TIDE_REQUIRE(keeps_nothing(sleeper.heap) && !has_moved(sleeper.heap));
    atomic_store(&is_over, true);
    peer_wait(&sleeper.peer);
    wake_for(&sleeper, check_kept, NULL);
    tide_check_all();
}

static sem_t is_inside, may_leave;

static void stay_inside(void *unused)
{
    struct heap *heap = tide_api_enter();

    (void)unused;
    sem_post(&is_inside);
    while (sem_wait(&may_leave) != 0)
        ;
    tide_heap_leave(heap);
}

static void let_stay_inside(struct sleeper *sleeper)
{
    sem_init(&is_inside, 0, 0);
    sem_init(&may_leave, 0, 0);
    peer_ask(&sleeper->peer, stay_inside, NULL);
    while (sem_wait(&is_inside) != 0)
        ;
}

static void let_leave(struct sleeper *sleeper)
{
    sem_post(&may_leave);
    peer_wait(&sleeper->peer);
}

SCENARIO(idle, one_that_is_inside_is_left_alone, NULL)
{
    static struct sleeper sleeper;
    size_t taken;

    let_use_all(&sleeper);
    taken = tide_relaxed(&tide_idle_taken);
    let_stay_inside(&sleeper);
    look_twice();
    give_back_all();
    TIDE_REQUIRE(!is_bare(sleeper.heap) && list_of(sleeper.heap, 1));
    TIDE_REQUIRE(tide_relaxed(&tide_idle_taken) == taken);
    TIDE_REQUIRE(tide_relaxed(&sleeper.heap->door) == sleeper.heap);
    let_leave(&sleeper);
    give_back_all();
    TIDE_REQUIRE(keeps_nothing(sleeper.heap));
    TIDE_REQUIRE(tide_relaxed(&tide_idle_taken) > taken);
    wake_for(&sleeper, check_kept, NULL);
}

/* Maintenance can sleep though the thread is never found elsewhere. */
SCENARIO(idle, one_that_is_inside_is_asked_a_few_times_until_it_moves_a_pool, NULL)
{
    static struct sleeper sleeper;
    struct heap *heap;
    unsigned refusals;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    let_stay_inside(&sleeper);
    look_twice();
    TIDE_REQUIRE(heap->refusals > 0 && look() > 0);
    while (look() > 0)
        ;
    refusals = heap->refusals;
    TIDE_REQUIRE(refusals > 2 && !is_bare(heap));
    let_leave(&sleeper);
    TIDE_REQUIRE(has_moved(heap));
    wake_for(&sleeper, use_another_class, NULL);
    look();
    TIDE_REQUIRE(heap->refusals < refusals);
    look_twice();
    TIDE_REQUIRE(keeps_nothing(heap));
}

static void free_foreign(void *unused)
{
    (void)unused;
    free_all(foreign[0], FOREIGN);
}

/* With a batch to be put away: it goes home instead. */
SCENARIO(idle, one_that_finds_the_depot_busy_does_without, NULL)
{
    static struct sleeper sleeper;
    struct pool *pool;

    leave_maintenance_out();
    for (int n = 0; n < FOREIGN; n++)
        foreign[0][n] = allocate(LENT);
    pool = tide_pool_of(foreign[0][0]);
    start_sleeper(&sleeper);
    tide_depot_lock_all();
    peer_do(&sleeper.peer, free_foreign, NULL);
    tide_depot_unlock_all(false);
    TIDE_REQUIRE(stored_of(LENT) == 0 && sleeper.heap->outbox.bytes > 0);
    give_back_all();
    TIDE_REQUIRE(keeps_nothing(sleeper.heap) && tide_relaxed(&pool->state) == POOL_FREE);
    tide_check_all();
}

static void compute_inside(void *unused)
{
    struct heap *heap = tide_api_enter();

    (void)unused;
    sem_post(&is_inside);
    while (!atomic_load(&is_over))
        ;
    TIDE_REQUIRE(list_of(heap, 1)); /* nobody took it meanwhile */
    tide_heap_leave(heap);
}

SCENARIO(idle, others_are_asked_though_one_is_inside, NULL)
{
    static struct sleeper sleepers[6]; /* more than are asked at once */

    leave_maintenance_out();
    for (int n = 0; n < 6; n++) {
        start_sleeper(&sleepers[n]);
        wake_for(&sleepers[n], use_all, NULL);
    }
    sem_init(&is_inside, 0, 0);
    peer_ask(&sleepers[3].peer, compute_inside, NULL);
    while (sem_wait(&is_inside) != 0)
        ;
    give_back_all();
    for (int n = 0; n < 6; n++)
        TIDE_REQUIRE(keeps_nothing(sleepers[n].heap) == (n != 3));
    atomic_store(&is_over, true);
    peer_wait(&sleepers[3].peer);
    tide_check_all();
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

/* And is left for its heir. */
SCENARIO(idle, one_that_ended_unseen_gives_back_too, NULL)
{
    leave_maintenance_out();
    own_heap();
    start_and_vanish();
    TIDE_REQUIRE(!is_bare(lost));
    look_twice();
    TIDE_REQUIRE(tide_relaxed(&lost->state) == HEAP_OWNED && keeps_nothing(lost));
    TIDE_REQUIRE(pools_of_size(100) == 1);
    run_thread(expect_lost_block, NULL);
    TIDE_REQUIRE(tide_relaxed(&lost->state) == HEAP_ORPHAN);
    tide_check_all();
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

SCENARIO(idle, a_thousand_threads_that_sleep_keep_the_pages_of_their_blocks, NULL)
{
    size_t before, after;

    leave_maintenance_out();
    start_many();
    before = resident_pages();
    while (tide_upkeep_look() > 0)
        ;
    after = resident_pages();
    TIDE_REQUIRE(before > 10 * MANY && after <= 2 * MANY);
    for (int n = 0; n < MANY; n++)
        sem_post(&many[n].asked);
    for (int n = 0; n < MANY; n++)
        pthread_join(many[n].thread, NULL);
    tide_check_all();
}
