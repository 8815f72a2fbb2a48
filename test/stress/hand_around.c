/* hand_around.c - blocks of many threads in each other's hands
 *
 * usage: hand_around [rounds [swaps]]
 *
 * Threads swap messages through shared slots: now each has a new block, now
 * none, in runs of random length, so that threads take turns at having more
 * blocks of a size than they need, and fewer.  A message is found by whoever
 * comes next, who checks its block and frees it.  In each round some threads
 * end and others are born in their place, and a fork is made meanwhile; its
 * child frees what it finds in the slots, and allocates.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "tidepool/malloc.h"

enum {
    THREADS = 16,
    SLOTS = 512,
    RUN_MAX = 200,   /* messages */
    SIZE_LEAST = 8,  /* bytes */
    SIZE_BITS = 14,  /* log2 of the most */
    ENDS_A_ROUND = 3,
};

struct message {
    void *block; /* NULL: none */
    size_t size;
    uint64_t id;
};

static _Atomic(struct message *) slots[SLOTS]; /* never empty: a swap gives another message */
static struct message *messages;               /* one for each slot and thread */

static struct worker {
    pthread_t thread;
    struct message *message; /* in hand; passed on from thread to thread */
    uint64_t stream;
    size_t swaps;
} workers[THREADS];

/* ---- Messages ---------------------------------------------------------------- */

static void write_message(struct message *message, struct rng *rng)
{
    message->size = rng_log(rng, SIZE_BITS) + 1;
    message->size = message->size < SIZE_LEAST ? SIZE_LEAST : message->size;
    message->id = rng_next(rng);
    message->block = tide_malloc(message->size);
    REQUIRE(message->block != NULL, "no memory for %zu bytes", message->size);
    pattern_fill(message->block, message->size, message->id);
}

static void read_message(struct message *message)
{
    if (message->block == NULL)
        return;
    pattern_check(message->block, message->size, message->size, message->id, "on arrival");
    errno = EXDEV;
    tide_free(message->block);
    REQUIRE(errno == EXDEV, "free changed errno to %d", errno);
    message->block = NULL;
}

static struct message *swap(struct message *message, struct rng *rng)
{
    return atomic_exchange(&slots[rng_below(rng, SLOTS)], message);
}

/* ---- Threads ------------------------------------------------------------------- */

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(worker->stream);
    bool is_writing = false;
    size_t run = 0;
    for (size_t i = 0; i < worker->swaps; i++) {
        if (run-- == 0) {
            is_writing = !is_writing;
            run = rng_below(&rng, RUN_MAX);
        }
        if (is_writing)
            write_message(worker->message, &rng);
        worker->message = swap(worker->message, &rng);
        read_message(worker->message);
    }
    return NULL;
}

static void start_worker(struct worker *worker, size_t swaps, struct rng *rng)
{
    worker->stream = rng_next(rng);
    worker->swaps = swaps / 2 + rng_below(rng, swaps);
    thread_start(&worker->thread, run_worker, worker);
}

/* ---- A child --------------------------------------------------------------------- */

static _Noreturn void be_child(uint64_t number)
{
    struct rng rng = rng_make(number);
    test_set_watchdog();
    check_heap();
    for (int i = 0; i < SLOTS; i += 2) {
        read_message(slots[i]);
        write_message(slots[i], &rng);
    }
    for (int i = 0; i < SLOTS; i++)
        read_message(slots[i]);
    tide_malloc_trim(0);
    check_heap();
    _exit(3 + (int)(number % 100));
}

static void fork_and_wait(uint64_t number)
{
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        be_child(number);
    int status;
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR, "waitpid: %s", strerror(errno));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 3 + (int)(number % 100),
            "child %llu ended with wait status %#x", (unsigned long long)number, (unsigned)status);
}

/* ---- The parent -------------------------------------------------------------------- */

static void run(size_t rounds, size_t swaps)
{
    struct rng rng = rng_make(0);
    for (size_t i = 0; i < THREADS; i++)
        start_worker(&workers[i], swaps, &rng);
    for (size_t round = 0; round < rounds; round++) {
        fork_and_wait(round);
        for (size_t i = 0; i < ENDS_A_ROUND; i++) {
            struct worker *worker = &workers[rng_below(&rng, THREADS)];
            thread_join(worker->thread);
            start_worker(worker, swaps, &rng);
        }
    }
    for (size_t i = 0; i < THREADS; i++)
        thread_join(workers[i].thread);
    check_heap();
    for (int i = 0; i < SLOTS; i++)
        read_message(slots[i]);
    check_heap();
}

int main(int argc, char **argv)
{
    test_begin("hand_around");
    size_t rounds = test_argument(argc, argv, 1, test_work(80));
    size_t swaps = test_argument(argc, argv, 2, TEST_TSAN ? 2000 : 10000);
    test_set_watchdog();
    messages = shadow_map((SLOTS + THREADS) * sizeof(*messages));
    for (int i = 0; i < SLOTS; i++)
        slots[i] = &messages[i];
    for (int i = 0; i < THREADS; i++)
        workers[i].message = &messages[SLOTS + i];

    run(1, swaps);
    size_t before = rss_settled();
    run(rounds, swaps);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu rounds of %d threads", rounds, THREADS);
    return 0;
}
