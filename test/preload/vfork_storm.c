/* vfork_storm.c - threads vfork children that malloc and free, while another gives
 * back what all threads keep
 *
 * usage: vfork_storm [children of each thread]; prints "ok".
 *
 * A vfork child has its parent's memory and so, for malloc, is its parent's thread,
 * which waits in the kernel meanwhile and yet is inside malloc whenever the child is.
 * Children replace blocks of the parent's, which it checks afterwards; they leave
 * some behind and end with _exit.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "blocks.h"

enum { CHILDREN = 2000, THREADS = 4, HELD = 150, REPLACED = 3000, ENOUGH_MB = 24 };

static long children;
static atomic_int at_work = THREADS;

struct parent {
    struct piece held[HELD];
    uint64_t random;
};

/* Mostly small blocks, of which malloc is fastest and so is what it interrupts. */
static size_t size_below(unsigned kinds, struct parent *parent)
{
    unsigned kind = below(100, &parent->random) < 95 ? below(5, &parent->random)
                                                     : below(kinds, &parent->random);

    return sizes_of_each_kind[kind] + below(16, &parent->random);
}

static void replace(struct parent *parent, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct piece *piece = &parent->held[below(HELD, &parent->random)];
        piece_free(piece);
        piece_new(piece, size_below(KINDS, parent), below(256, &parent->random));
        if (i % 512 == 0)
            sched_yield();
    }
}

__attribute__((noinline)) static pid_t vfork_and_replace(struct parent *parent)
{
    pid_t child = vfork();
    if (child == 0) {
        replace(parent, REPLACED);
        _exit(11);
    }
    return child;
}

static void *run_parent(void *argument)
{
    struct parent parent = { .random = (uint64_t)(intptr_t)argument };

    for (long i = 0; i < children; i++) {
        expect_end(vfork_and_replace(&parent), 11, "vfork");
        for (unsigned k = 0; k < HELD; k++)
            piece_check(&parent.held[k]);
        replace(&parent, REPLACED / 10);
    }
    for (unsigned k = 0; k < HELD; k++)
        piece_free(&parent.held[k]);
    at_work--;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    struct piece large;
    long trims = 0;

    children = argc > 1 ? atol(argv[1]) : scaled(CHILDREN);
    piece_new(&large, (size_t)ENOUGH_MB << 20, 1);
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_parent, (void *)(i + 1)) != 0)
            die("no thread");
    for (; at_work > 0; trims++) {
        malloc_trim(0);
        sched_yield();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    piece_free(&large);
    fprintf(stderr, "%ld children, %ld trims\n", children * THREADS, trims);
    puts("ok");
    return 0;
}
