/* bench/workloads/lone.h - what the modes of lone are made of
 *
 * One thread, and in prefork one in each process.
 */
#ifndef BENCH_LONE_H
#define BENCH_LONE_H

#include "held.h"

enum sizes { SIZES_SMALL, SIZES_MIXED, SIZES_LARGE };

/* What a mode did; summed over the workers of prefork. */
struct done {
    uint64_t blocks;          /* taken */
    uint64_t ns;              /* of taking and freeing them */
    uint64_t live_bytes;      /* asked for and not freed */
    uint64_t live_page_bytes; /* of pages with a part of a live block, as it was asked for */
    uint64_t own_page_bytes;  /* the same, as large as malloc_usable_size says */
};

/* A run of one worker; its random numbers start from seed. */
void lone_prepare(struct run *run, struct worker *worker, unsigned seed);

/* Room for the blocks of lone_fill, resident from now on. */
void lone_make_heap(struct worker *worker, uint64_t bytes, enum sizes sizes);
void lone_fill(struct worker *worker, uint64_t bytes, enum sizes sizes);

/* Frees random blocks until so many percent of them are left. */
void lone_keep(struct worker *worker, unsigned percent);

/* Fills in what is alive of a heap. */
void lone_count(struct worker *worker, struct done *done);

/* Ends the program if a block isn't as it was left. */
void lone_check(const struct worker *worker);

/* Prints the word and waits for a byte from whoever watches. */
void lone_say(const char *word);

/* Prints what was done, and sleeps until stdin ends. */
void lone_rest(const struct done *done);

/* Forked workers that each peak and free most; see prefork.c. */
void run_prefork(unsigned scale);

#endif
