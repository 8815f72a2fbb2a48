/* late_births.c - threads whose only malloc comes after the last of their
 * destructors
 *
 * usage: late_births [threads]; prints "ok". TIDE_TEST_SCALE=5000: 100,000 threads.
 *
 * A key that was made before any of malloc's has a destructor that sets it again in
 * each round of destructors, and in the last one mallocs, frees blocks of its own and
 * of threads before, and leaves one to those that follow. So no destructor of malloc's
 * own is called any more, and it must see by other means that the thread has gone.
 * Some threads are alive at a time, while another one gives back what all keep.
 * Blocks are checked: none may be given to two threads.
 *
 * With TIDE_NAMES it calls tide_malloc and the like, to be linked with the library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#ifdef TIDE_NAMES
#include <stdlib.h>

#include "tidepool/malloc.h"

#define malloc         tide_malloc
#define calloc         tide_calloc
#define realloc        tide_realloc
#define posix_memalign tide_posix_memalign
#define free           tide_free
#define malloc_trim    tide_malloc_trim
#else
#include <malloc.h>
#endif

#include "blocks.h"

/* Which forgets a thread in a destructor of its own, and can't check one any more
 * that goes on after that. */
#ifdef __SANITIZE_THREAD__
enum { IS_CHECKED_FOR_RACES = true };
#else
enum { IS_CHECKED_FOR_RACES = false };
#endif

enum { THREADS = 2000, AT_A_TIME = 16, LEFT = 64, BLOCKS = 40 };

struct life {
    uint64_t random;
    int rounds; /* of destructors that are still to come */
};

static pthread_key_t key;
static _Atomic(struct piece *) left_behind[LEFT];
static atomic_long births;
static atomic_bool is_over;

/* The piece's own record is a block as well. */
static void replace_left_behind(uint64_t *random)
{
    struct piece *piece = malloc(sizeof(*piece));

    if (piece == NULL)
        die("no memory");
    piece_new(piece, sizes_of_each_kind[below(KINDS - 2, random)], below(256, random));
    piece = atomic_exchange(&left_behind[below(LEFT, random)], piece);
    if (piece == NULL)
        return;
    piece_free(piece);
    free(piece);
}

static void live(uint64_t random)
{
    struct piece pieces[BLOCKS];

    for (unsigned i = 0; i < BLOCKS; i++)
        piece_new(&pieces[i], sizes_of_each_kind[below(8, &random)], i);
    replace_left_behind(&random);
    for (unsigned i = 0; i < BLOCKS; i++)
        piece_free(&pieces[i]);
    births++;
}

static void destroy(void *argument)
{
    struct life *life = argument;

    if (--life->rounds > 0)
        pthread_setspecific(key, life);
    else
        live(life->random);
}

/* Before the library's first malloc, which makes its keys; earlier than that only
 * what the C library needs to start is called. */
__attribute__((constructor(101))) static void make_early_key(void)
{
    if (pthread_key_create(&key, destroy) != 0)
        die("no key");
}

static void *run_thread(void *argument)
{
    pthread_setspecific(key, argument);
    return NULL;
}

static void *run_tidier(void *argument)
{
    while (!is_over)
        malloc_trim(0);
    return argument;
}

int main(int argc, char **argv)
{
    static struct life lives[AT_A_TIME];
    pthread_t threads[AT_A_TIME], tidier;
    long count = argc > 1 ? atol(argv[1]) : scaled(THREADS);

    if (IS_CHECKED_FOR_RACES) {
        puts("skipped: ThreadSanitizer doesn't know of threads after their destructors");
        return SKIPPED;
    }
    if (pthread_create(&tidier, NULL, run_tidier, NULL) != 0)
        die("no thread");
    for (long born = 0; born < count; born++) {
        unsigned i = (unsigned)(born % AT_A_TIME);
        if (born >= AT_A_TIME)
            pthread_join(threads[i], NULL);
        lives[i] = (struct life){ (uint64_t)born, PTHREAD_DESTRUCTOR_ITERATIONS };
        int error = pthread_create(&threads[i], NULL, run_thread, &lives[i]);
        if (error != 0)
            die("no thread: %s", strerror(error));
    }
    for (long i = 0; i < AT_A_TIME && i < count; i++)
        pthread_join(threads[i], NULL);
    is_over = true;
    pthread_join(tidier, NULL);
    if (births != count)
        die("%ld of %ld threads came to malloc", (long)births, count);
    for (int i = 0; i < LEFT; i++)
        if (left_behind[i] != NULL) {
            piece_free(left_behind[i]);
            free(left_behind[i]);
        }
    puts("ok");
    return 0;
}
