/* test_fork.c - api/fork.h: what a child finds, be it of a lone thread's fork, of one
 * among several, or a copy that no handler ran in
 */
#include "api/fork.h"

#include <sched.h>

#include "../copies.h"
#include "arena/reserve.h"
#include "arena/retired.h"
#include "../heap/heaps.h"
#include "upkeep/reclaim.h"
#include "heap/remote.h"
#include "os/map.h"
#include "os/records.h"
#include "os/thread.h"
#include "store/store.h"

/* A test in a program of its own, with nothing under way. */
#define SCENARIO(name, setting)                                                               \
    Test(fork, name, .timeout = 2 * WATCHDOG_SECONDS)                                                          \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_RCU=off", setting));                   \
    }                                                                                         \
    PROGRAM(name)

#define SIZE ((size_t)240)

static const size_t sizes[] = {
    1, SIZE, 2048, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1, TIDE_ARENA_BYTES / 2, TIDE_ARENA_BYTES,
};

enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 20 };

static void *before[SIZES][EACH], *others[SIZES][EACH];

static void allocate_all(void *blocks)
{
    void *(*all)[EACH] = blocks;

    for (int n = 0; n < SIZES; n++)
        for (int k = 0; k < EACH; k++)
            memset(all[n][k] = allocate(sizes[n]), n + 1, sizes[n]);
}

static void free_everything(void *blocks)
{
    void *(*all)[EACH] = blocks;

    for (int n = 0; n < SIZES; n++)
        for (int k = 0; k < EACH; k++) {
            const unsigned char *block = all[n][k];

            TIDE_REQUIRE(block[0] == n + 1 && block[sizes[n] - 1] == n + 1);
            tide_free(all[n][k]);
        }
}

static void use_everything(void *unused)
{
    static void *all[SIZES][EACH];

    allocate_all(all);
    free_everything(all);
    (void)unused;
}

/* ---- Children ------------------------------------------------------------- */

static void end_child(void)
{
    use_everything(NULL);
    tide_purge();
    tide_check_all();
    _exit(0);
}

static void wait_for(pid_t child)
{
    int status;

    TIDE_REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    TIDE_REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static pid_t fork_child(void)
{
    pid_t child = fork();

    TIDE_REQUIRE(child >= 0);
    if (child == 0)
        alarm(WATCHDOG_SECONDS);
    return child;
}

static uint64_t locked(void)
{
    return tide_relaxed(&tide_upkeep_lock()->acquired) +
           tide_relaxed(&tide_heap_orphans_lock()->acquired) +
           tide_relaxed(&tide_common_lock()->acquired);
}

/* Whether a fork takes locks. */
static bool fork_locks(void)
{
    uint64_t count = locked();
    bool does;
    pid_t child = fork_child();

    does = locked() != count;
    if (child == 0)
        end_child();
    wait_for(child);
    return does;
}

/* ---- A lone thread ----------------------------------------------------------- */

SCENARIO(a_lone_thread_forks_without_locks, NULL)
{
    struct heap *heap = own_heap();
    pid_t child;

    allocate_all(before);
    TIDE_REQUIRE(tide_heap_count() == 1 && !fork_locks());
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(own_heap() == heap && tide_heap_is_at_home());
        TIDE_REQUIRE(heap->thread == gettid());
        free_everything(before);
        run_thread(use_everything, NULL);
        end_child();
    }
    wait_for(child);
    TIDE_REQUIRE(tide_heap_is_at_home());
    free_everything(before);
    use_everything(NULL);
    tide_check_all();
}

SCENARIO(so_does_one_without_a_heap, NULL)
{
    tide_purge();
    if (tide_heap_count() == 0) /* the C library may have allocated */
        TIDE_REQUIRE(!fork_locks());
}

/* As in a signal handler, in the middle of a malloc: it may have any lock. */
SCENARIO(a_lone_thread_forks_in_the_middle_of_anything, NULL)
{
    struct tide_lock *locks[] = { tide_heap_start_lock(), tide_common_lock(),
                                  tide_heap_orphans_lock(), tide_os_records_lock() };
    enum { LOCKS = sizeof locks / sizeof *locks };
    struct heap *heap;
    pid_t child;

    own_heap();
    for (int n = 0; n < LOCKS; n++)
        tide_lock(locks[n]);
    tide_depot_lock_all();
    heap = tide_api_enter();
    child = fork_child();
    tide_heap_leave(heap); /* and goes on, in both */
    tide_depot_unlock_all(false);
    for (int n = LOCKS; n-- > 0;)
        tide_unlock(locks[n]);
    if (child == 0)
        end_child();
    wait_for(child);
    use_everything(NULL);
}

SCENARIO(a_lone_threads_child_can_fork, NULL)
{
    pid_t child;

    allocate_all(before);
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(!fork_locks());
        leave_maintenance_out();
        run_thread(use_everything, NULL);
        TIDE_REQUIRE(!fork_locks()); /* alone again */
        end_child();
    }
    wait_for(child);
}

/* ---- One among several --------------------------------------------------------- */

static struct peer other;
static struct heap *others_heap;

static void start_other(void)
{
    own_heap();
    peer_start(&other);
    peer_do(&other, get_heap, &others_heap);
}

SCENARIO(with_another_thread_a_fork_takes_locks, NULL)
{
    start_other();
    TIDE_REQUIRE(fork_locks());
    peer_end(&other);
    TIDE_REQUIRE(!fork_locks()); /* there is an orphan */
}

static void fork_there(void *does)
{
    *(bool *)does = fork_locks();
}

/* Another has one. */
SCENARIO(a_thread_without_heap_is_not_alone, NULL)
{
    bool does;

    own_heap();
    peer_start(&other);
    peer_do(&other, fork_there, &does);
    TIDE_REQUIRE(does);
    peer_end(&other);
}

/* Of threads that aren't in the child: their blocks can be freed, and no more. */
SCENARIO(a_child_retires_others_heaps, NULL)
{
    pid_t child;

    start_other();
    allocate_all(before);
    peer_do(&other, allocate_all, others);
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED && tide_heap_count() == 1);
        free_everything(before);
        free_everything(others);
        run_thread(use_everything, NULL);
        TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED);
        end_child();
    }
    wait_for(child);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_OWNED);
    free_everything(before);
    peer_do(&other, free_everything, others);
    peer_end(&other);
    tide_check_all();
}

static void *left;

static void leave_block(void *heap)
{
    get_heap(heap);
    left = memset(allocate(SIZE), 7, SIZE);
}

static void expect_heap(void *wanted)
{
    TIDE_REQUIRE(own_heap() == wanted && ((char *)left)[SIZE - 1] == 7);
    tide_free(left);
}

static void expect_another_heap(void *unwanted)
{
    TIDE_REQUIRE(own_heap() != unwanted);
    tide_free(left);
}

static struct heap *make_orphan(void)
{
    struct heap *orphan;

    start_other();
    run_thread(leave_block, &orphan);
    TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_ORPHAN);
    return orphan;
}

SCENARIO(a_child_adopts_orphans, NULL)
{
    struct heap *orphan = make_orphan();
    pid_t child = fork_child();

    if (child == 0) {
        run_thread(expect_heap, orphan);
        end_child();
    }
    wait_for(child);
    run_thread(expect_heap, orphan);
}

/* Who had taken it may have been anywhere in it. */
SCENARIO(a_child_retires_an_orphan_that_was_taken, NULL)
{
    struct heap *orphan = make_orphan();
    pid_t child;

    TIDE_REQUIRE(tide_heap_close(orphan));
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_RETIRED);
        run_thread(expect_another_heap, orphan);
        end_child();
    }
    wait_for(child);
    tide_heap_open(orphan);
    run_thread(expect_heap, orphan);
}

/* Somebody looked whether its thread was gone. */
SCENARIO(a_child_finds_its_door_open, NULL)
{
    struct heap *heap;
    pid_t child;

    start_other();
    heap = own_heap();
    TIDE_REQUIRE(tide_heap_close(heap));
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(own_heap() == heap && tide_heap_is_left(heap));
        end_child();
    }
    wait_for(child);
    TIDE_REQUIRE(tide_api_enter() == tide_common_heap());
    tide_heap_leave(tide_common_heap());
    tide_heap_open(heap);
}

SCENARIO(beside_tidepools_own_thread_a_fork_takes_locks, "TIDEPOOL_MAINTENANCE=on")
{
    pid_t child;

    while (tide_os_own_threads() == 0)
        allocate(TIDE_ARENA_BYTES / 2);
    TIDE_REQUIRE(tide_heap_count() == 1);
    allocate_all(before);
    child = fork_child();
    if (child == 0) {
        TIDE_REQUIRE(tide_os_own_threads() == 0 &&
                     tide_relaxed(&tide_upkeep_state) != TIDE_UPKEEP_RUNNING);
        free_everything(before);
        end_child();
    }
    wait_for(child);
    TIDE_REQUIRE(fork_locks());
}

/* ---- Threads without a heap of their own ---------------------------------------- */

static void pass_in(void *is_passing)
{
    *(bool *)is_passing = tide_fork_pass_in();
}

static void pass_out(void *unused)
{
    (void)unused;
    tide_fork_pass_out();
}

SCENARIO(beside_a_thread_that_passes_a_fork_takes_locks, NULL)
{
    bool is_passing;

    own_heap();
    TIDE_REQUIRE(!tide_fork_pass_in());
    peer_start(&other);
    peer_do(&other, pass_in, &is_passing);
    TIDE_REQUIRE(is_passing);
    peer_do(&other, pass_in, &is_passing);
    TIDE_REQUIRE(!is_passing); /* it is in there */
    TIDE_REQUIRE(fork_locks());
    peer_do(&other, pass_out, NULL);
    TIDE_REQUIRE(!fork_locks());
    peer_do(&other, pass_in, &is_passing);
    TIDE_REQUIRE(is_passing);
    peer_do(&other, pass_out, NULL);
    peer_end(&other);
}

static bool was_let_in;
static void (*there)(void *); /* what the other thread begins to do between the handlers */
static void *argument_there;

static sem_t has_begun;

static void begin_there(void *function)
{
    sem_post(&has_begun);
    (*(void (**)(void *))function)(argument_there);
}

/* It has time to come to where it waits, and isn't done before the fork is. */
static void let_begin(void)
{
    static void (*function)(void *);
    int done;

    if (!there)
        return;
    function = there;
    there = NULL;
    sem_init(&has_begun, 0, 0);
    peer_ask(&other, begin_there, &function);
    while (sem_wait(&has_begun) != 0)
        ;
    for (int n = 0; n < 10000; n++)
        sched_yield();
    TIDE_REQUIRE(sem_getvalue(&other.done, &done) == 0 && done == 0);
}

static void register_handler(void)
{
    TIDE_REQUIRE(pthread_atfork(let_begin, NULL, NULL) == 0);
}

/* Before all constructors: so it runs after the allocator's own prepared. */
__attribute__((section(".preinit_array"), used)) static void (*const register_first)(void) =
    register_handler;

SCENARIO(while_a_lone_thread_forks_nobody_passes, NULL)
{
    pid_t child;

    own_heap();
    peer_start(&other);
    there = pass_in;
    argument_there = &was_let_in;
    child = fork_child();
    if (child == 0)
        end_child();
    TIDE_REQUIRE(!there);
    peer_wait(&other);
    TIDE_REQUIRE(was_let_in);
    peer_do(&other, pass_out, NULL);
    wait_for(child);
    peer_end(&other);
}

/* ---- Copies that no handler ran in ---------------------------------------------- */

/* Locks all there is, as if others were in the middle of everything. */
static void lock_everything(void *unused)
{
    (void)unused;
    tide_lock(tide_upkeep_lock());
    tide_lock(tide_heap_start_lock());
    tide_lock(tide_common_lock());
    tide_lock(tide_heap_orphans_lock());
    tide_depot_lock_all();
    tide_arena_before_fork();
    tide_lock(tide_retired_lock());
    tide_lock(tide_reserve_lock());
    if (!tide_arena_global_lock)
        tide_lock(tide_store_lock());
    tide_lock(tide_os_records_lock());
    tide_lock(tide_reclaim_handler_lock());
}

static void unlock_everything(void *unused)
{
    (void)unused;
    tide_unlock(tide_reclaim_handler_lock());
    tide_unlock(tide_os_records_lock());
    if (!tide_arena_global_lock)
        tide_unlock(tide_store_lock());
    tide_unlock(tide_reserve_lock());
    tide_unlock(tide_retired_lock());
    tide_arena_after_fork(false);
    tide_depot_unlock_all(false);
    tide_unlock(tide_heap_orphans_lock());
    tide_unlock(tide_common_lock());
    tide_unlock(tide_heap_start_lock());
    tide_unlock(tide_upkeep_lock());
}

static struct heap *own, *common;

static void be_lone_copy(void)
{
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home() && tide_common_heap() == common);
    free_everything(before);
    run_thread(use_everything, NULL);
    end_child();
}

SCENARIO(a_lone_threads_copy_goes_on, NULL)
{
    own = own_heap();
    common = tide_common_heap();
    allocate_all(before);
    TIDE_REQUIRE(run_copy(be_lone_copy) == 0);
    free_everything(before);
    use_everything(NULL);
    tide_check_all();
}

static void be_copy(void)
{
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home());
    TIDE_REQUIRE(tide_common_heap() != common && is_listed(tide_common_heap()));
    TIDE_REQUIRE(tide_relaxed(&common->state) == HEAP_RETIRED);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED && tide_heap_count() == 1);
    free_everything(before);
    free_everything(others);
    run_thread(use_everything, NULL);
    end_child();
}

static void check_copy_among_locks(void)
{
    start_other();
    own = own_heap();
    common = tide_common_heap();
    allocate_all(before);
    peer_do(&other, allocate_all, others);
    peer_do(&other, lock_everything, NULL);
    TIDE_REQUIRE(run_copy(be_copy) == 0);
    peer_do(&other, unlock_everything, NULL);
    free_everything(before);
    peer_do(&other, free_everything, others);
    peer_end(&other);
    use_everything(NULL);
    tide_check_all();
}

SCENARIO(a_copy_goes_on_whatever_others_had_locked, NULL)
{
    check_copy_among_locks();
}

SCENARIO(so_does_one_with_one_lock_for_arenas, "TIDEPOOL_ARENA_LOCK=global")
{
    check_copy_among_locks();
}

SCENARIO(so_does_one_whose_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_copy_among_locks();
}

static void free_first(void)
{
    free_everything(before);
    free_everything(others);
    end_child();
}

/* A copy whose first calls are frees. */
SCENARIO(a_copy_that_frees_first_goes_on, NULL)
{
    start_other();
    allocate_all(before);
    peer_do(&other, allocate_all, others);
    peer_do(&other, lock_everything, NULL);
    TIDE_REQUIRE(run_copy(free_first) == 0);
    peer_do(&other, unlock_everything, NULL);
    peer_end(&other);
}

static void be_copy_without_heap(void)
{
    TIDE_REQUIRE(own_heap() != own);
    free_everything(before);
    end_child();
}

SCENARIO(a_copy_does_without_a_heap_that_was_taken, NULL)
{
    start_other();
    own = own_heap();
    allocate_all(before);
    TIDE_REQUIRE(tide_heap_close(own));
    TIDE_REQUIRE(run_copy(be_copy_without_heap) == 0);
    tide_heap_open(own);
    TIDE_REQUIRE(own_heap() == own);
    free_everything(before);
    peer_end(&other);
    tide_check_all();
}

static struct heap *orphan;

static void adopt_in_copy(void)
{
    run_thread(expect_another_heap, orphan);
    TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_RETIRED);
    end_child();
}

SCENARIO(a_copy_adopts_no_orphans, NULL)
{
    orphan = make_orphan();
    TIDE_REQUIRE(run_copy(adopt_in_copy) == 0);
    run_thread(expect_heap, orphan);
}

/* ---- The child of a vfork ---------------------------------------------------------- */

static void *kept;

__attribute__((noinline)) static void allocate_in_vfork(void)
{
    pid_t child = vfork();

    if (child == 0) {
        use_everything(NULL);
        kept = memset(allocate(SIZE), 7, SIZE);
        _exit(tide_heap_is_at_home());
    }
    wait_for(child);
}

SCENARIO(the_child_of_a_vfork_uses_its_parents_heap, NULL)
{
    start_other();
    own = own_heap();
    common = tide_common_heap();
    allocate_in_vfork();
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(kept)->owner) == own && ((char *)kept)[SIZE - 1] == 7);
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home() && tide_common_heap() == common);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_OWNED);
    tide_free(kept);
    peer_end(&other);
    tide_check_all();
}

/* ---- Streams ------------------------------------------------------------------------ */

/* What a stream writes with, while the C library has its list of streams locked. */
static ssize_t write_nothing(void *unused, const char *text, size_t bytes)
{
    (void)unused;
    (void)text;
    use_everything(NULL);
    return (ssize_t)bytes;
}

static void flush_all(void *stream)
{
    fputs("x", stream);
    fflush(NULL);
}

/* fork waits for that list, too, when its handlers have run. */
SCENARIO(a_fork_waits_for_no_stream_whose_user_waits_for_it, NULL)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_nothing });

    TIDE_REQUIRE(stream);
    start_other();
    for (int n = 0; n < 10; n++) {
        pid_t child;

        there = flush_all;
        argument_there = stream;
        child = fork_child();
        if (child == 0) {
            fflush(NULL);
            _exit(0);
        }
        TIDE_REQUIRE(!there);
        peer_wait(&other);
        wait_for(child);
    }
    fclose(stream);
    peer_end(&other);
}
