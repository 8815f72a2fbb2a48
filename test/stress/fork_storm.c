/* fork_storm.c - forks while threads are inside the allocator
 *
 * usage: fork_storm [forks [threads]]
 *
 * Busy threads allocate and free without pause; two threads fork.  A child
 * frees inherited blocks of all threads, checks its heap, allocates, starts
 * threads of its own, now and then forks again, and ends with a status that
 * its parent expects.  A watchdog turns a deadlock into a message.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

enum { SHARED = 1024, THREADS_MAX = 256, OWN = 64, CHILD_THREADS = 2 };

static _Atomic(struct parcel *) shared[SHARED];
static atomic_bool is_over;
static size_t forks_each;

static void swap_in(struct rng *rng, struct parcel *parcel)
{
    parcel_free(atomic_exchange(&shared[rng_below(rng, SHARED)], parcel));
}

static struct parcel *random_parcel(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 1000);
    return parcel_new(rng, kind == 0 ? 22 : kind < 20 ? 16 : 10);
}

/* ---- Busy threads ---------------------------------------------------------- */

static void *run_busy(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    struct parcel *own[OWN] = {NULL};
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        struct parcel **place = &own[rng_below(&rng, OWN)];
        parcel_free(*place);
        *place = random_parcel(&rng);
        swap_in(&rng, random_parcel(&rng));
    }
    for (int i = 0; i < OWN; i++)
        parcel_free(own[i]);
    return NULL;
}

/* ---- A child ----------------------------------------------------------------- */

static void *run_in_child(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    for (int i = 0; i < 200; i++)
        swap_in(&rng, random_parcel(&rng));
    return NULL;
}

static void free_inherited(struct parcel *own[OWN])
{
    for (int i = 0; i < OWN; i += 2)
        parcel_free(own[i]);
    for (int i = 1; i < OWN; i += 2)
        parcel_check(own[i]);
    for (int i = 0; i < SHARED; i += 2)
        parcel_free(atomic_exchange(&shared[i], NULL));
}

static void start_threads(uint64_t number)
{
    pthread_t threads[CHILD_THREADS];
    for (uint64_t i = 0; i < CHILD_THREADS; i++)
        thread_start(&threads[i], run_in_child, (void *)(uintptr_t)(number * 16 + i));
    for (int i = 0; i < CHILD_THREADS; i++)
        thread_join(threads[i]);
}

static void fork_and_wait(uint64_t number, struct parcel *own[OWN], int depth);

static _Noreturn void be_child(uint64_t number, struct parcel *own[OWN], int depth)
{
    test_set_watchdog();
    check_heap();
    free_inherited(own);
    struct rng rng = rng_make(number);
    struct parcel *fresh[OWN];
    for (int i = 0; i < OWN; i++)
        fresh[i] = random_parcel(&rng);
    if (!TEST_SANITIZED) /* they can't start threads in such a child: their own locks may be held */
        start_threads(number);
    if (depth == 0 && number % 4 == 0)
        fork_and_wait(number + 1, fresh, 1);
    for (int i = 0; i < OWN; i++)
        parcel_free(fresh[i]);
    check_heap();
    _exit(3 + (int)(number % 100));
}

static void fork_and_wait(uint64_t number, struct parcel *own[OWN], int depth)
{
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        be_child(number, own, depth);
    int status;
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR, "waitpid: %s", strerror(errno));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 3 + (int)(number % 100),
            "child %llu ended with wait status %#x", (unsigned long long)number,
            (unsigned)status);
}

/* ---- The parent ----------------------------------------------------------------- */

static void *run_forks(void *argument)
{
    uint64_t first = (uintptr_t)argument;
    struct rng rng = rng_make(first);
    struct parcel *own[OWN];
    for (int i = 0; i < OWN; i++)
        own[i] = random_parcel(&rng);
    for (size_t i = 0; i < forks_each; i++) {
        fork_and_wait(first + i, own, 0);
        struct parcel **place = &own[rng_below(&rng, OWN)];
        parcel_free(*place);
        *place = random_parcel(&rng);
    }
    for (int i = 0; i < OWN; i++)
        parcel_free(own[i]);
    return NULL;
}

static void run(size_t forks, size_t threads)
{
    pthread_t busy[THREADS_MAX], forker;
    atomic_store(&is_over, false);
    forks_each = forks / 2 + 1;
    for (size_t i = 0; i < threads; i++)
        thread_start(&busy[i], run_busy, (void *)(uintptr_t)(i + 1));
    thread_start(&forker, run_forks, (void *)(uintptr_t)1000000);
    run_forks((void *)(uintptr_t)2000000);
    thread_join(forker);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < threads; i++)
        thread_join(busy[i]);
    for (int i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], NULL));
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("fork_storm");
    size_t forks = test_argument(argc, argv, 1, test_work(60));
    size_t threads = test_argument(argc, argv, 2, TEST_TSAN ? 4 : 16);
    REQUIRE(threads <= THREADS_MAX, "at most %d threads", THREADS_MAX);
    /* Its own lock may be held in a child, as it isn't taken for a fork: the thread that
     * asks hwloc for memory nodes calls its malloc meanwhile. */
    if (TEST_ASAN && getenv("HWLOC_SYNTHETIC") != NULL) {
        say("skipped: AddressSanitizer's malloc may hang in a child");
        return TEST_SKIPPED;
    }
    test_set_watchdog();

    run(2, threads);
    size_t before = rss_settled();
    run(forks, threads);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu forks with %zu busy threads", forks, threads);
    return 0;
}
