/* bench/workloads/queue.h - a bounded queue of batches of blocks
 *
 * Any number of threads put and take; both wait, under a mutex and conditions,
 * while the queue is full or empty.  A batch is large enough that the queue
 * costs little beside the blocks.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <pthread.h>

#define BATCH         64 /* blocks */
#define QUEUE_BATCHES 16

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed_full, changed_empty;
    unsigned head, count; /* under lock */
    void *batches[QUEUE_BATCHES][BATCH];
} __attribute__((aligned(64)));

void queue_init(struct queue *queue);
void queue_put(struct queue *queue, void *const *batch);
void queue_take(struct queue *queue, void **batch);

#endif
