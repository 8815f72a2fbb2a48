/* bench/workloads/queue.c - see queue.h */
#include "queue.h"

#include <string.h>

void queue_init(struct queue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed_full, NULL);
    pthread_cond_init(&queue->changed_empty, NULL);
    queue->head = queue->count = 0;
}

void queue_put(struct queue *queue, void *const *batch)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->count == QUEUE_BATCHES)
        pthread_cond_wait(&queue->changed_full, &queue->lock);
    memcpy(queue->batches[(queue->head + queue->count) % QUEUE_BATCHES], batch,
           sizeof queue->batches[0]);
    queue->count++;
    pthread_cond_signal(&queue->changed_empty);
    pthread_mutex_unlock(&queue->lock);
}

void queue_take(struct queue *queue, void **batch)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0)
        pthread_cond_wait(&queue->changed_empty, &queue->lock);
    memcpy(batch, queue->batches[queue->head], sizeof queue->batches[0]);
    queue->head = (queue->head + 1) % QUEUE_BATCHES;
    queue->count--;
    pthread_cond_signal(&queue->changed_full);
    pthread_mutex_unlock(&queue->lock);
}
