/* after_sleep.c - threads sleep, while what they keep may be given back, and
 * malloc as soon as they wake up
 *
 * usage: after_sleep [sleeps]; prints "ok".
 *
 * Before each sleep a thread frees most of its blocks, so that there are free pages
 * in pools in use and whole pools to give back; the sleeps take as long as the looks
 * for such memory are apart, more or less. Afterwards it checks the blocks that it
 * kept, and its new ones: none may be lost, given twice or changed.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>

#include "blocks.h"

enum { SLEEPS = 120, THREADS = 4, BLOCKS = 20000, KEPT = 60, SLEEP_MOST_MS = 40 };

static long sleeps;

static void *run_thread(void *argument)
{
    uint64_t random = (uint64_t)(intptr_t)argument;
    struct piece *pieces = calloc(BLOCKS, sizeof(*pieces)), woken;

    if (pieces == NULL)
        die("no memory");
    for (long i = 0; i < sleeps; i++) {
        for (unsigned k = 0; k < BLOCKS; k++)
            if (pieces[k].block == NULL)
                piece_new(&pieces[k], 100 + k % 100 + (k % 500 == 0 ? 40000 : 0), k);
        for (unsigned k = 0; k < BLOCKS; k++)
            if ((k + (unsigned)i) % KEPT != 0)
                piece_free(&pieces[k]);
        poll(NULL, 0, (int)below(SLEEP_MOST_MS, &random));
        piece_new(&woken, 1 + below(300, &random), (unsigned)i);
        for (unsigned k = 0; k < BLOCKS; k++)
            piece_check(&pieces[k]);
        piece_free(&woken);
    }
    for (unsigned k = 0; k < BLOCKS; k++)
        piece_free(&pieces[k]);
    free(pieces);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    sleeps = argc > 1 ? atol(argv[1]) : scaled(SLEEPS);
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0)
            die("no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    puts("ok");
    return 0;
}
