/* raw_forks.c - children that come into being without fork's handlers
 *
 * usage: raw_forks one|several [rounds]; prints "ok".
 *
 * _Fork, clone without CLONE_VM, vfork, posix_spawn, and each of these from a child
 * of another kind. "one": the program has one thread, which had much to give back
 * just before, so that whatever does that in the background is in the middle of it.
 * "several": other threads malloc and free meanwhile. The child, but for posix_spawn's,
 * allocates and frees blocks of each kind, and frees some of before that were
 * allocated by its own thread and by others. No child may hang.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "blocks.h"

extern char **environ;

enum {
    ROUNDS_ONE = 25,
    ROUNDS_SEVERAL = 40,
    SMALL = 400000,     /* blocks that are freed before a fork, but for one in KEPT */
    KEPT = 60,
    PAUSE_US = 30000,
    THREADS = 3,
    OF_EACH_KIND = 2,
};

enum way { UNDERSCORE_FORK, CLONE, FORK, WAYS };

static const char *const names[] = { "_Fork", "clone", "fork" };

static pid_t start_child(enum way way)
{
    switch (way) {
    case UNDERSCORE_FORK:
        return _Fork();
    case CLONE:
        return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    default:
        return fork();
    }
}

/* ---- Blocks of before ---------------------------------------------------------- */

static struct piece own[KINDS * OF_EACH_KIND];
static struct piece others[THREADS][KINDS * OF_EACH_KIND]; /* by threads, then left alone */

static void allocate_each(struct piece *pieces)
{
    for (unsigned i = 0; i < KINDS * OF_EACH_KIND; i++)
        piece_new(&pieces[i], sizes_of_each_kind[i % KINDS], i);
}

static void free_each(struct piece *pieces)
{
    for (unsigned i = 0; i < KINDS * OF_EACH_KIND; i++)
        piece_free(&pieces[i]);
}

/* ---- Children ------------------------------------------------------------------ */

/* Also a child's own children do so, each of another kind: left is how many. */
static void work_in_child(enum way way, int threads, int left)
{
    churn((uint64_t)left);
    if (left > 0) {
        enum way next = (enum way)((way + 1) % WAYS);
        pid_t child = start_child(next);
        if (child == 0) {
            work_in_child(next, threads, left - 1);
            _exit(9);
        }
        expect_end(child, 9, "a child's child");
    }
    free_each(own);
    for (int i = 0; i < threads; i++)
        free_each(others[i]);
    for (uint64_t i = 0; i < 4; i++)
        churn(i);
}

static void fork_in_each_way(int threads, int depth)
{
    for (int way = 0; way < WAYS; way++) {
        pid_t child = start_child((enum way)way);
        if (child == 0) {
            work_in_child((enum way)way, threads, depth);
            _exit(9);
        }
        expect_end(child, 9, names[way]);
    }
}

/* The child has this thread's memory, so what it allocates is there afterwards. */
__attribute__((noinline)) static pid_t vfork_and_work(struct piece *left_behind)
{
    pid_t child = vfork();
    if (child == 0) {
        churn(1);
        piece_free(&left_behind[0]);
        piece_new(&left_behind[1], 2000, 5);
        _exit(9);
    }
    return child;
}

static void vfork_and_spawn(void)
{
    struct piece left_behind[2];
    char *command[] = { "sh", "-c", "exit 9", NULL };
    pid_t child;

    piece_new(&left_behind[0], 2000, 4);
    expect_end(vfork_and_work(left_behind), 9, "vfork");
    piece_free(&left_behind[1]);
    if (posix_spawn(&child, "/bin/sh", NULL, NULL, command, environ) != 0)
        die("posix_spawn");
    expect_end(child, 9, "posix_spawn");
}

/* ---- One thread ---------------------------------------------------------------- */

static void try_one_thread(long rounds)
{
    static void *small[SMALL];
    uint64_t random = 1;

    for (long round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < SMALL; i++)
            if (small[i] == NULL)
                memset(small[i] = malloc(100 + i % 100), 1, 100);
        allocate_each(own);
        for (unsigned i = 0; i < SMALL; i++)
            if (i % KEPT != 0) {
                free(small[i]);
                small[i] = NULL;
            }
        pause_us(PAUSE_US + below(PAUSE_US, &random));
        fork_in_each_way(0, round % 4 == 0 ? 2 : 0);
        vfork_and_spawn();
        free_each(own);
    }
    for (unsigned i = 0; i < SMALL; i++)
        free(small[i]);
}

/* ---- Several threads ------------------------------------------------------------- */

static atomic_bool is_over;
static pthread_barrier_t all_allocated;

static void *run_thread(void *argument)
{
    struct piece *mine = others[(intptr_t)argument];

    allocate_each(mine);
    pthread_barrier_wait(&all_allocated);
    for (uint64_t i = (uint64_t)(intptr_t)argument; !is_over; i++)
        churn(i);
    free_each(mine);
    return NULL;
}

static void try_several_threads(long rounds)
{
    pthread_t threads[THREADS];

    pthread_barrier_init(&all_allocated, NULL, THREADS + 1);
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0)
            die("no thread");
    pthread_barrier_wait(&all_allocated);
    for (long round = 0; round < rounds; round++) {
        allocate_each(own);
        fork_in_each_way(THREADS, round % 4 == 0 ? 2 : 0);
        vfork_and_spawn();
        free_each(own);
    }
    is_over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "several") == 0)
        try_several_threads(argc > 2 ? atol(argv[2]) : scaled(ROUNDS_SEVERAL));
    else
        try_one_thread(argc > 2 ? atol(argv[2]) : scaled(ROUNDS_ONE));
    puts("ok");
    return 0;
}
