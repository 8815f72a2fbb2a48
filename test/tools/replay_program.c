/* test/tools/replay_program.c - a program to be recorded, which knows its own bytes alive
 *
 * usage: replay_program THREADS
 *
 * Rounds of two phases.  First every thread allocates, resizes and frees in all
 * ways there are; then every thread frees a part of its right neighbour's
 * blocks.  All threads meet between phases, and there the first prints
 *
 *   POINT calls bytes-alive
 *
 * by its own count.  Between rounds a short-lived thread allocates a block and
 * ends; the next round frees it.  Calls that libraries make are not counted, so
 * nothing here calls one that allocates, but pthread_create, in between.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS      10
#define THREAD_MOST 64
#define BLOCKS      3000 /* of a thread */

static void *blocks[THREAD_MOST][BLOCKS];
static size_t sizes[THREAD_MOST][BLOCKS];
static int thread_count;
static pthread_barrier_t barrier;
static atomic_long calls, live;
static void *visitors_block;
static size_t visitors_size;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void count(long change)
{
    calls++;
    live += change;
}

static size_t random_size(uint64_t *state)
{
    uint64_t random = next_random(state);
    if (random % 100 == 0)
        return 1 + random % 200000;
    return 1 + random % 700;
}

static void *allocate_some_way(uint64_t way, size_t size)
{
    void *block = NULL;
    switch (way % 8) {
    case 0:
        return calloc(1, size);
    case 1:
        return aligned_alloc(64, (size + 63) & ~(size_t)63);
    case 2:
        return posix_memalign(&block, 256, size) == 0 ? block : NULL;
    case 3:
        return memalign(32, size);
    case 4:
        return reallocarray(NULL, 1, size);
    default:
        return malloc(size);
    }
}

static void fill(int thread, int i, uint64_t *state)
{
    uint64_t way = next_random(state);
    size_t size = (random_size(state) + 63) & ~(size_t)63;
    blocks[thread][i] = allocate_some_way(way, size);
    if (blocks[thread][i] == NULL)
        abort();
    memset(blocks[thread][i], 1, size);
    sizes[thread][i] = size;
    count((long)size);
}

static void resize(int thread, int i, uint64_t *state)
{
    size_t size = random_size(state);
    void *moved = realloc(blocks[thread][i], size);
    if (moved == NULL)
        abort();
    blocks[thread][i] = moved;
    count((long)size - (long)sizes[thread][i]);
    sizes[thread][i] = size;
}

static void empty(int thread, int i)
{
    free(blocks[thread][i]);
    blocks[thread][i] = NULL;
    count(-(long)sizes[thread][i]);
}

static void work_on_own(int thread, uint64_t *state)
{
    for (int i = 0; i < BLOCKS; i++) {
        int at = (int)(next_random(state) % BLOCKS);
        if (blocks[thread][at] == NULL)
            fill(thread, at, state);
        else if (next_random(state) % 3 == 0)
            empty(thread, at);
        else
            resize(thread, at, state);
    }
}

static void free_of_neighbour(int neighbour, uint64_t *state)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[neighbour][i] == NULL)
            continue;
        if (next_random(state) % 4 == 0)
            empty(neighbour, i);
        else if (next_random(state) % 8 == 0)
            resize(neighbour, i, state);
    }
}

static void say_point(void)
{
    char line[100];
    int length = snprintf(line, sizeof line, "POINT %ld %ld\n", calls, live);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        abort();
}

static void meet(int thread)
{
    pthread_barrier_wait(&barrier);
    if (thread == 0)
        say_point();
    pthread_barrier_wait(&barrier);
}

static void *visit(void *argument)
{
    uint64_t state = (uintptr_t)argument * 77 + 1;
    visitors_size = random_size(&state);
    visitors_block = malloc(visitors_size);
    count((long)visitors_size);
    return NULL;
}

static void receive_visitor(int round)
{
    pthread_t visitor;
    if (visitors_block != NULL) {
        free(visitors_block);
        count(-(long)visitors_size);
    }
    if (pthread_create(&visitor, NULL, visit, (void *)(uintptr_t)round) != 0)
        abort();
    pthread_join(visitor, NULL);
}

static void *work(void *argument)
{
    int thread = (int)(intptr_t)argument;
    uint64_t state = (uint64_t)thread * 1000003 + 12345;
    for (int round = 0; round < ROUNDS; round++) {
        if (thread == 0)
            receive_visitor(round);
        work_on_own(thread, &state);
        meet(thread);
        free_of_neighbour((thread + 1) % thread_count, &state);
        meet(thread);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREAD_MOST];
    thread_count = argc > 1 ? atoi(argv[1]) : 4;
    if (thread_count < 1 || thread_count > THREAD_MOST)
        return 1;
    pthread_barrier_init(&barrier, NULL, (unsigned)thread_count);
    for (intptr_t i = 1; i < thread_count; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            return 1;
    work(NULL);
    for (int i = 1; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
