/* producer_consumer.c - some threads only allocate, others only free
 *
 * usage: producer_consumer [producers consumers [items]]
 *
 * Through a bounded queue; without arguments 1:1, 1:4, 4:1 and 4:4.  What a
 * consumer frees must be used again by the producers: memory in use stays
 * bounded by the queue, not by the number of items.
 */
#include <stdatomic.h>

#include "common.h"

enum { QUEUE = 512, THREADS_MAX = 64, SIZE_BITS = 14 };

static struct parcel *queue[QUEUE];
static size_t head, tail; /* under queue_lock, as is the queue */
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;

static size_t items_each; /* of a producer */
static atomic_size_t consumed;

static void put(struct parcel *parcel)
{
    pthread_mutex_lock(&queue_lock);
    while (tail - head == QUEUE)
        pthread_cond_wait(&not_full, &queue_lock);
    queue[tail++ % QUEUE] = parcel;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&queue_lock);
}

static struct parcel *take(void)
{
    pthread_mutex_lock(&queue_lock);
    while (tail == head)
        pthread_cond_wait(&not_empty, &queue_lock);
    struct parcel *parcel = queue[head++ % QUEUE];
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&queue_lock);
    return parcel;
}

static void *produce(void *argument)
{
    struct rng rng = rng_make((uintptr_t)argument);
    for (size_t i = 0; i < items_each; i++)
        put(parcel_new(&rng, rng_below(&rng, 64) == 0 ? SIZE_BITS : 9));
    return NULL;
}

/* A NULL in the queue ends one consumer. */
static void *consume(void *argument)
{
    (void)argument;
    struct parcel *parcel;
    while ((parcel = take()) != NULL) {
        parcel_free(parcel);
        atomic_fetch_add_explicit(&consumed, 1, memory_order_relaxed);
    }
    return NULL;
}

static void check_bounded(size_t before, size_t producers, size_t consumers)
{
    /* All that can be live, twice for what was freed but not yet reused, and
     * what threads and classes may hold on to. */
    size_t limit = before + 2 * QUEUE * ((size_t)1 << SIZE_BITS) + 32 * MIB;
    size_t now = rss_bytes();
    REQUIRE(TEST_SANITIZED || now <= limit,
            "%zu:%zu: RSS grew from %zu to %zu KiB although at most %d blocks live at a time",
            producers, consumers, before / KIB, now / KIB, QUEUE);
}

static void run(size_t producers, size_t consumers, size_t items)
{
    REQUIRE(producers + consumers <= THREADS_MAX, "at most %d threads", THREADS_MAX);
    pthread_t threads[THREADS_MAX];
    size_t before = rss_bytes();
    items_each = items / producers + 1;
    atomic_store(&consumed, 0);
    for (size_t i = 0; i < producers; i++)
        thread_start(&threads[i], produce, (void *)(uintptr_t)i);
    for (size_t i = 0; i < consumers; i++)
        thread_start(&threads[producers + i], consume, NULL);
    for (size_t i = 0; i < producers; i++)
        thread_join(threads[i]);
    check_bounded(before, producers, consumers);
    for (size_t i = 0; i < consumers; i++)
        put(NULL);
    for (size_t i = 0; i < consumers; i++)
        thread_join(threads[producers + i]);
    REQUIRE(atomic_load(&consumed) == items_each * producers, "%zu blocks produced, %zu consumed",
            items_each * producers, atomic_load(&consumed));
    check_heap();
}

static void run_all(size_t items)
{
    run(1, 1, items);
    run(1, 4, items);
    run(4, 1, items);
    run(4, 4, items);
}

int main(int argc, char **argv)
{
    test_begin("producer_consumer");
    size_t items = test_argument(argc, argv, 3, test_work(1000000));
    size_t producers = test_argument(argc, argv, 1, 0);
    size_t consumers = test_argument(argc, argv, 2, producers);

    run_all(1000);
    size_t before = rss_settled();
    if (producers > 0)
        run(producers, consumers, items);
    else
        run_all(items);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu blocks in each shape", items);
    return 0;
}
