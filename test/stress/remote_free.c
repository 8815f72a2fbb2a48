/* remote_free.c - every block is freed by another thread than its owner
 *
 * usage: remote_free [threads [rounds [blocks]]]
 *
 * All-to-all: between each two threads lies a bounded ring with one writer and
 * one reader.  In a round each thread sends that many blocks to random others
 * and meanwhile checks and frees what it gets.  When all is freed and the
 * threads have ended, RSS must be back where it was after a first round.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common.h"
#include "tidepool/malloc.h"

enum { RING = 16, THREADS_MAX = 256, RECEIVE_EVERY = 16 };

struct message {
    void *block;
    size_t size;
    uint64_t id;
};

struct ring {
    _Atomic unsigned head; /* reader's; release: the message was read */
    _Atomic unsigned tail; /* writer's; release: the message is there */
    struct message messages[RING];
};

struct worker {
    struct rng rng;
    pthread_t thread;
    size_t index;
    size_t freed;
};

static struct worker workers[THREADS_MAX];
static struct ring *rings; /* rings[from * worker_count + to] */
static size_t worker_count, rounds, blocks_per_round;
static atomic_size_t senders; /* in this round, still sending */
static pthread_barrier_t round_barrier;

static bool ring_put(struct ring *ring, struct message message)
{
    unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) == RING)
        return false;
    ring->messages[tail % RING] = message;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

static bool ring_take(struct ring *ring, struct message *message)
{
    unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
        return false;
    *message = ring->messages[head % RING];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

static void receive(struct worker *worker)
{
    for (size_t from = 0; from < worker_count; from++) {
        struct message message;
        while (ring_take(&rings[from * worker_count + worker->index], &message)) {
            pattern_check(message.block, message.size, message.size, message.id, "on arrival");
            errno = EXDEV;
            tide_free(message.block);
            REQUIRE(errno == EXDEV, "free set errno to %d", errno);
            worker->freed++;
        }
    }
}

static size_t random_size(struct rng *rng)
{
    uint64_t kind = rng_below(rng, 2000);
    return rng_log(rng, kind == 0 ? 22 : kind < 20 ? 17 : kind < 200 ? 13 : 9);
}

static void send_one(struct worker *worker)
{
    struct message message = {.size = random_size(&worker->rng), .id = rng_next(&worker->rng)};
    message.block = tide_malloc(message.size);
    REQUIRE(message.block != NULL, "no memory for %zu bytes", message.size);
    pattern_fill(message.block, message.size, message.id);
    size_t to = rng_below(&worker->rng, worker_count - 1);
    to += to >= worker->index; /* never to itself */
    while (!ring_put(&rings[worker->index * worker_count + to], message)) {
        receive(worker);
        sched_yield();
    }
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    for (size_t round = 0; round < rounds; round++) {
        barrier_wait(&round_barrier);
        for (size_t i = 0; i < blocks_per_round; i++) {
            send_one(worker);
            if (i % RECEIVE_EVERY == 0)
                receive(worker);
        }
        atomic_fetch_sub(&senders, 1);
        while (atomic_load(&senders) > 0) {
            receive(worker);
            sched_yield();
        }
        receive(worker);
        barrier_wait(&round_barrier);
        if (worker->index == 0)
            atomic_store(&senders, worker_count);
    }
    return NULL;
}

static size_t run(size_t run_rounds, size_t blocks)
{
    rounds = run_rounds;
    blocks_per_round = blocks;
    atomic_store(&senders, worker_count);
    pthread_barrier_init(&round_barrier, NULL, (unsigned)worker_count);
    for (size_t i = 0; i < worker_count; i++) {
        workers[i] = (struct worker){.rng = rng_make(i), .index = i};
        thread_start(&workers[i].thread, run_worker, &workers[i]);
    }
    size_t freed = 0;
    for (size_t i = 0; i < worker_count; i++) {
        thread_join(workers[i].thread);
        freed += workers[i].freed;
    }
    pthread_barrier_destroy(&round_barrier);
    REQUIRE(freed == worker_count * rounds * blocks, "%zu blocks were sent, %zu freed",
            worker_count * rounds * blocks, freed);
    check_heap();
    return freed;
}

int main(int argc, char **argv)
{
    test_begin("remote_free");
    worker_count = test_argument(argc, argv, 1, TEST_TSAN ? 16 : 64);
    REQUIRE(worker_count >= 2 && worker_count <= THREADS_MAX, "2 to %d threads", THREADS_MAX);
    size_t all_rounds = test_argument(argc, argv, 2, 10);
    size_t blocks = test_argument(argc, argv, 3, test_work(12000));
    size_t bytes = worker_count * worker_count * sizeof(*rings);
    rings = shadow_map(bytes);
    for (size_t at = 0; at < bytes; at += KIB)
        ((volatile char *)rings)[at] = 0; /* resident before RSS is read */

    run(1, 200);
    size_t before = rss_settled();
    size_t freed = run(all_rounds, blocks);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu blocks of %zu threads freed by others", freed, worker_count);
    return 0;
}
