/* test_fork.c - api/fork.h: what a child finds, be it of a lone thread's fork or of one
 * among several; test_fork_copies.c is about copies that no handler ran in
 */
#include "api/fork.h"

#include <sched.h>

#include "forks.h"
#include "os/records.h"
#include "os/thread.h"

/* ---- Whether it takes locks ------------------------------------------------- */

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
