/* handler_sleeps.c - a signal handler sleeps that has interrupted malloc or free
 *
 * usage: handler_sleeps trim|look [flags [nap_ms]]; prints "ok".
 *
 * Workers malloc and free without pause. They are sent signals, whose handler (a
 * System V one, unless other sigaction flags are given: reset when it is called,
 * and its signal isn't blocked) sleeps, installs itself again and returns, so does
 * only what a handler may. While it sleeps the main thread calls malloc_trim, or
 * nothing is called, and what looks for idle memory looks. A sleeping handler
 * doesn't mean that its thread is outside malloc: no block may be given twice.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "blocks.h"

enum { WORKERS = 3, HELD = 64, SIGNALS = 40, ENOUGH_MB = 40 };

static long nap_us;
static int flags = (int)(SA_RESETHAND | SA_NODEFER);
static atomic_long handled;
static atomic_bool is_over;

static void on_signal(int number)
{
    int saved = errno;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

    pause_us(nap_us);
    sigaction(number, &action, NULL);
    atomic_fetch_add(&handled, 1);
    errno = saved;
}

struct stamp {
    void *next; /* free's */
    struct stamp *self;
    void *holder;
};

/* A block that this thread holds has its place in it: if it is given again, that
 * is seen at once. */
static void *run_worker(void *argument)
{
    static const unsigned bytes[] = { 120, 48, 120, 700 };
    struct stamp *held[HELD] = { NULL };
    struct piece others[HELD] = { { NULL, 0, 0 } };

    for (long i = (long)(intptr_t)argument; !is_over; i++) {
        struct stamp **place = &held[i % HELD];
        if (*place != NULL) {
            if ((*place)->self != *place || (*place)->holder != (void *)place)
                die("block %p was given twice, or changed", (void *)*place);
            (*place)->holder = NULL;
            free(*place);
        }
        struct stamp *block = malloc(bytes[i % 4]);
        if (block == NULL)
            die("no memory");
        if (block->holder >= (void *)held && block->holder < (void *)(held + HELD) &&
            *(struct stamp **)block->holder == block && block->holder != (void *)place)
            die("block %p was given twice", (void *)block);
        block->self = block;
        block->holder = place;
        *place = block;
        if (i % 16 == 0) {
            struct piece *other = &others[i / 16 % HELD];
            piece_free(other);
            piece_new(other, bytes[i / 16 % 4], (unsigned)i);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t workers[WORKERS];
    bool trims = argc < 2 || strcmp(argv[1], "trim") == 0;
    if (argc > 2)
        flags = (int)strtol(argv[2], NULL, 0);
    nap_us = (argc > 3 ? atol(argv[3]) : 100) * 1000;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
    sigset_t signals;

    /* Each worker has a signal of its own, as the default action of one that is
     * reset would end the process. */
    sigemptyset(&signals);
    for (int i = 0; i < WORKERS; i++) {
        sigaction(SIGRTMIN + i, &action, NULL);
        sigaddset(&signals, SIGRTMIN + i);
    }
    char *enough = malloc((size_t)ENOUGH_MB << 20);
    memset(enough, 1, (size_t)ENOUGH_MB << 20);
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&workers[i], NULL, run_worker, (void *)(intptr_t)i) != 0)
            die("no thread");
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    for (long left = scaled(SIGNALS); left > 0; left--) {
        long before = handled;
        pause_us(10000);
        for (int i = 0; i < WORKERS; i++)
            pthread_kill(workers[i], SIGRTMIN + i);
        pause_us(nap_us / 2);
        do {
            if (trims)
                malloc_trim(0);
            pause_us(1000);
        } while (handled < before + WORKERS);
    }
    is_over = true;
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    free(enough);
    puts("ok");
    return 0;
}
