/* stand_in.c - threads that work and sleep in turn, while others stand in for
 * them: usage: stand_in [rounds]
 *
 * Each worker has blocks of its own, replaces random ones, hands some around
 * through shared places, and sleeps in one of the ways that programs do, for
 * a time that a look may or may not fall into.  Meanwhile two threads look for
 * idle memory without a pause, one by looks, one by tide_purge, and workers
 * end, are born, and fork.  Blocks are checked whenever they are met again:
 * one given twice or lost would show.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "heap/idle.h"
#include "heap/maintenance.h"
#include "tidepool/malloc.h"

enum {
    WORKERS = 12,
    OWN = 400,      /* blocks of a worker */
    SHARED = 64,    /* places where blocks are handed around */
    SIZE_BITS = 13, /* log2 of the most */
    BURSTS = 40,    /* of a worker's life */
    BURST_MAX = 600,
    SLEEP_MAX_US = 1500,
};

static _Atomic(struct parcel *) shared[SHARED];
static atomic_bool is_over;

/* ---- Sleeping ------------------------------------------------------------------ */

static void sleep_somehow(struct rng *rng, pthread_mutex_t *mutex, pthread_cond_t *never)
{
    long us = (long)rng_below(rng, SLEEP_MAX_US);
    struct timespec time = { .tv_nsec = us * 1000 };

    switch (rng_below(rng, 3)) {
    case 0:
        nanosleep(&time, NULL);
        break;
    case 1:
        poll(NULL, 0, (int)(us / 1000) + 1);
        break;
    default:
        clock_gettime(CLOCK_REALTIME, &time);
        time.tv_nsec += us * 1000;
        time.tv_sec += time.tv_nsec / 1000000000;
        time.tv_nsec %= 1000000000;
        pthread_mutex_lock(mutex);
        pthread_cond_timedwait(never, mutex, &time);
        pthread_mutex_unlock(mutex);
    }
}

/* ---- Workers ------------------------------------------------------------------- */

static void work(struct parcel **own, struct rng *rng)
{
    size_t count = rng_below(rng, BURST_MAX);
    bool is_freeing = rng_below(rng, 3) == 0; /* else as many come as go */

    for (size_t i = 0; i < count; i++) {
        struct parcel **place = &own[rng_below(rng, OWN)];

        parcel_free(*place);
        *place = is_freeing ? NULL : parcel_new(rng, SIZE_BITS);
        if (rng_below(rng, 4) == 0)
            *place = atomic_exchange(&shared[rng_below(rng, SHARED)], *place);
    }
}

static void *run_worker(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    struct parcel *own[OWN] = { NULL };
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    for (int burst = 0; burst < BURSTS; burst++) {
        work(own, &rng);
        if (rng_below(&rng, 8) == 0)
            tide_thread_idle();
        sleep_somehow(&rng, &mutex, &never);
    }
    for (int i = 0; i < OWN; i++)
        parcel_free(own[i]);
    return NULL;
}

/* ---- Those who look for idle memory -------------------------------------------- */

static void *run_looks(void *unused)
{
    while (!is_over)
        tide_maintenance_look();
    return unused;
}

static void *run_purges(void *unused)
{
    struct rng rng = rng_make(12345);

    while (!is_over) {
        tide_purge();
        parcel_free(parcel_new(&rng, SIZE_BITS));
        poll(NULL, 0, 1);
    }
    return unused;
}

/* ---- A child --------------------------------------------------------------------- */

static _Noreturn void be_child(struct rng *rng)
{
    test_set_watchdog();
    for (int i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], parcel_new(rng, SIZE_BITS)));
    tide_purge();
    for (int i = 0; i < SHARED; i++)
        parcel_free(shared[i]);
    check_heap();
    _exit(3);
}

static void fork_and_wait(struct rng *rng)
{
    int status = 0;
    pid_t child = fork();

    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        be_child(rng);
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3,
            "a child ended with wait status %#x", (unsigned)status);
}

static void run(size_t rounds, struct rng *rng)
{
    pthread_t workers[WORKERS], looks, purges;

    is_over = false;
    thread_start(&looks, run_looks, NULL);
    thread_start(&purges, run_purges, NULL);
    for (size_t round = 0; round < rounds; round++) {
        for (int i = 0; i < WORKERS; i++)
            thread_start(&workers[i], run_worker, (void *)(uintptr_t)rng_next(rng));
        fork_and_wait(rng);
        for (int i = 0; i < WORKERS; i++)
            thread_join(workers[i]);
    }
    is_over = true;
    thread_join(looks);
    thread_join(purges);
    for (int i = 0; i < SHARED; i++)
        parcel_free(atomic_exchange(&shared[i], NULL));
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("stand_in");
    size_t rounds = test_argument(argc, argv, 1, test_work(20)), before;
    struct rng rng = rng_make(0);

    test_set_watchdog();
    run(1, &rng);
    before = rss_settled();
    run(rounds, &rng);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu rounds of %d threads; they were stood in for %zu times", rounds, WORKERS,
        atomic_load(&tide_idle_lent));
    return 0;
}
