/* bench/workloads/table.h - every workload, one row each
 *
 * ROW(name, group, threads, quick, operations, run, argument, unit, about)
 *   group       latency: every call of malloc and free in the loop is timed;
 *               return: how much is resident still when it has been freed
 *   threads     default counts
 *   quick       1: part of `make bench-quick`
 *   operations  at scale 100, for each core that the threads can use at once;
 *               0: the workload is of bytes and counts its operations itself
 *   run         the function that runs it (struct run *); it finds argument in
 *               run->workload
 *   unit        what an operation is
 *
 * To add a workload, add a row; and its run function in one of the family's
 * files, if none of those there will do.
 */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "common.h"

/* Rows of micro.c's table of random sizes: the argument of run_mix. */
enum mix_number {
    MIX_SMALL, MIX_LARGE, MIX_CALLOC_SMALL, MIX_CALLOC_LARGE, MIX_ALIGNED_64, MIX_ALIGNED_4096,
};

/* Rows of cliffs.c's table of sizes: the argument of those that draw from it. */
enum cliff_sizes {
    CLIFF_SMALL, CLIFF_LARGE, CLIFF_MIXED, CLIFF_MIDDLE, CLIFF_HUGE, CLIFF_WIDE,
};

#define MANY "1,2,4,8,16,64,256"
#define PAIR "2,4,8,16,64,256" /* one to give and one to take at least */

#define WORKLOADS(ROW)                                                                        \
    ROW("lifo-8", "micro", "1", 0, 60000000, run_lifo, 8, "pair",                             \
        "malloc and free of 8 bytes, at once")                                                \
    ROW("lifo-16", "micro", "1", 1, 60000000, run_lifo, 16, "pair",                           \
        "malloc and free of 16 bytes, at once")                                               \
    ROW("lifo-64", "micro", "1", 0, 60000000, run_lifo, 64, "pair",                           \
        "malloc and free of 64 bytes, at once")                                               \
    ROW("lifo-256", "micro", "1", 0, 60000000, run_lifo, 256, "pair",                         \
        "malloc and free of 256 bytes, at once")                                              \
    ROW("lifo-1024", "micro", "1", 0, 60000000, run_lifo, 1024, "pair",                       \
        "malloc and free of 1024 bytes, at once")                                             \
    ROW("lifo-8192", "micro", "1", 0, 40000000, run_lifo, 8192, "pair",                       \
        "malloc and free of 8192 bytes, at once")                                             \
    ROW("fifo-8", "micro", "1", 0, 60000000, run_fifo, 8, "pair",                             \
        "a queue of 1,000 blocks of 8 bytes, the oldest freed")                               \
    ROW("fifo-16", "micro", "1", 0, 60000000, run_fifo, 16, "pair",                           \
        "a queue of 1,000 blocks of 16 bytes, the oldest freed")                              \
    ROW("fifo-64", "micro", "1", 1, 60000000, run_fifo, 64, "pair",                           \
        "a queue of 1,000 blocks of 64 bytes, the oldest freed")                              \
    ROW("fifo-256", "micro", "1", 0, 60000000, run_fifo, 256, "pair",                         \
        "a queue of 1,000 blocks of 256 bytes, the oldest freed")                             \
    ROW("fifo-1024", "micro", "1", 0, 40000000, run_fifo, 1024, "pair",                       \
        "a queue of 1,000 blocks of 1024 bytes, the oldest freed")                            \
    ROW("fifo-8192", "micro", "1", 0, 10000000, run_fifo, 8192, "pair",                       \
        "a queue of 1,000 blocks of 8192 bytes, the oldest freed")                            \
    ROW("random-order-8", "micro", "1", 0, 50000000, run_random_order, 8, "pair",             \
        "10,000 blocks of 8 bytes taken, then freed in random order")                         \
    ROW("random-order-16", "micro", "1", 0, 50000000, run_random_order, 16, "pair",           \
        "10,000 blocks of 16 bytes taken, then freed in random order")                        \
    ROW("random-order-64", "micro", "1", 1, 30000000, run_random_order, 64, "pair",           \
        "10,000 blocks of 64 bytes taken, then freed in random order")                        \
    ROW("random-order-256", "micro", "1", 0, 20000000, run_random_order, 256, "pair",         \
        "10,000 blocks of 256 bytes taken, then freed in random order")                       \
    ROW("random-order-1024", "micro", "1", 0, 8000000, run_random_order, 1024, "pair",        \
        "8 MiB of blocks of 1024 bytes taken, then freed in random order")                    \
    ROW("random-order-8192", "micro", "1", 0, 2000000, run_random_order, 8192, "pair",        \
        "8 MiB of blocks of 8192 bytes taken, then freed in random order")                    \
    ROW("batch-8", "micro", "1", 0, 60000000, run_batch, 8, "pair",                           \
        "10,000 blocks of 8 bytes taken, then freed in the same order")                       \
    ROW("batch-16", "micro", "1", 0, 60000000, run_batch, 16, "pair",                         \
        "10,000 blocks of 16 bytes taken, then freed in the same order")                      \
    ROW("batch-64", "micro", "1", 1, 40000000, run_batch, 64, "pair",                         \
        "10,000 blocks of 64 bytes taken, then freed in the same order")                      \
    ROW("batch-256", "micro", "1", 0, 15000000, run_batch, 256, "pair",                       \
        "10,000 blocks of 256 bytes taken, then freed in the same order")                     \
    ROW("batch-1024", "micro", "1", 0, 8000000, run_batch, 1024, "pair",                      \
        "8 MiB of blocks of 1024 bytes taken, then freed in the same order")                  \
    ROW("batch-8192", "micro", "1", 0, 2000000, run_batch, 8192, "pair",                      \
        "8 MiB of blocks of 8192 bytes taken, then freed in the same order")                  \
    ROW("random-sizes", "micro", "1", 1, 12000000, run_mix, MIX_SMALL, "pair",                \
        "a random one of 10,000 blocks replaced, 16 to 1024 bytes")                           \
    ROW("calloc-small", "micro", "1", 0, 12000000, run_mix, MIX_CALLOC_SMALL, "pair",         \
        "a random one of 1,000 blocks replaced by calloc, 16 to 1024 bytes")                  \
    ROW("calloc-large", "micro", "1", 0, 20000, run_mix, MIX_CALLOC_LARGE, "pair",            \
        "a random one of 16 blocks replaced by calloc, 64 KiB to 1 MiB")                      \
    ROW("realloc-doubling", "micro", "1", 1, 100000, run_realloc, 0, "step",                  \
        "two blocks grow in turn from 16 bytes to 1 MiB, doubling")                           \
    ROW("realloc-steps", "micro", "1", 0, 1000000, run_realloc, 1024, "step",                 \
        "two blocks grow in turn from 16 bytes to 1 MiB, 1 KiB at a time")                    \
    ROW("aligned-64", "micro", "1", 0, 12000000, run_mix, MIX_ALIGNED_64, "pair",             \
        "a random one of 1,000 blocks replaced, aligned to 64 bytes")                         \
    ROW("aligned-4096", "micro", "1", 0, 5000000, run_mix, MIX_ALIGNED_4096, "pair",          \
        "a random one of 100 blocks replaced, aligned to 4096 bytes")                         \
    ROW("large", "micro", "1", 1, 500000, run_mix, MIX_LARGE, "pair",                         \
        "a random one of 32 blocks replaced, 64 KiB to 1 MiB")                                \
    ROW("huge-touch-first", "micro", "1", 0, 40000, run_huge, 64 * MIB, "pair",               \
        "4 to 32 MiB taken, both ends written, freed")                                        \
    ROW("huge-touch-all", "micro", "1", 0, 250, run_huge, 4096, "pair",                       \
        "4 to 32 MiB taken, every page written, freed")                                       \
                                                                                              \
    ROW("independent", "contention", MANY, 1, 10000000, run_independent, 0, "pair",           \
        "each thread replaces random ones of its own 1,000 blocks")                           \
    ROW("producer-consumer", "contention", PAIR, 1, 2000000, run_exchange, 50, "block",       \
        "half of the threads allocate, the other half free")                                  \
    ROW("fan-in", "contention", PAIR, 0, 1500000, run_exchange, 100, "block",                 \
        "one thread frees what all the others allocate")                                      \
    ROW("fan-out", "contention", PAIR, 0, 1500000, run_exchange, 0, "block",                  \
        "one thread allocates what all the others free")                                      \
    ROW("few-producers", "contention", "8,16,64,256", 0, 2000000, run_exchange, 25, "block",  \
        "a quarter of the threads allocate, the others free")                                 \
    ROW("relay", "contention", MANY, 1, 4000000, run_relay, 0, "block",                       \
        "messages around a ring of threads, each freed and replaced at every step")           \
    ROW("connections", "contention", MANY, 1, 200000, run_server, 0, "request",               \
        "connections handed between threads that end and are followed by others")             \
    ROW("sharing-active", "contention", MANY, 0, 2000000, run_sharing_active, 0, "block",     \
        "threads write often to small blocks that they take at the same time")                \
    ROW("sharing-passive", "contention", MANY, 0, 2000000, run_sharing_passive, 0, "block",   \
        "the same after each freed blocks that one thread had taken for all")                 \
    ROW("thread-lives", "contention", MANY, 1, 5000, run_thread_lives, 0, "thread",           \
        "threads start, take 100 blocks, leave half to others and end")                       \
                                                                                              \
    ROW("latency-independent", "latency", "1,2,8", 1, 4000000, run_independent, 0, "pair",    \
        "each call timed: threads replace their own blocks, 16 to 1024 bytes")                \
    ROW("latency-producer-consumer", "latency", "1,2,8", 0, 3000000, run_exchange, 50,        \
        "block", "each call timed: half of the threads allocate, the other half free")        \
    ROW("latency-fan-in", "latency", "2,8", 0, 1000000, run_exchange, 100, "block",           \
        "each call timed: one thread frees what all the others allocate")                     \
    ROW("latency-fan-out", "latency", "2,8", 0, 1000000, run_exchange, 0, "block",            \
        "each call timed: one thread allocates what all the others free")                     \
    ROW("latency-few-producers", "latency", "8", 0, 1000000, run_exchange, 25, "block",       \
        "each call timed: a quarter of the threads allocate, the others free")                \
    ROW("latency-relay", "latency", "1,2,8", 0, 3000000, run_relay, 0, "block",               \
        "each call timed: messages around a ring, each freed and replaced at every step")     \
    ROW("latency-connections", "latency", "1,2,8", 0, 200000, run_server, 0, "request",       \
        "each call timed: connections handed between threads that follow one another")        \
    ROW("latency-thread-lives", "latency", "1,2,8", 0, 5000, run_thread_lives, 0, "thread",   \
        "each call timed: threads start, take 100 blocks, leave half to others and end")      \
    ROW("latency-some-large", "latency", "1,2,8", 0, 3000000, run_independent, 1, "pair",     \
        "each call timed: one block in 256 is large, one in 16,384 is 2 to 8 MiB")            \
    ROW("latency-return", "latency", "1,2,8", 1, 4000000, run_latency_return, 0, "pair",      \
        "each call timed: one more thread frees 256 MiB meanwhile")                           \
                                                                                              \
    ROW("phases", "footprint", "1,8", 1, 0, run_phases, 0, "block",                           \
        "64 MiB of blocks whose sizes shift six times")                                       \
    ROW("bursts", "footprint", "1,8", 0, 0, run_bursts, 0, "block",                           \
        "six bursts of 64 MiB, of which 1 % of the blocks stay, each followed by 0.3 s idle") \
    ROW("long-lived", "footprint", "1,8", 0, 0, run_long_lived, 0, "block",                   \
        "eight waves of 64 MiB of which every 50th block stays")                              \
    ROW("sparse-frees", "footprint", "1,8", 1, 0, run_sparse, 0, "block",                     \
        "256 MiB of which a random 90 % is freed, then 1 s idle")                             \
    ROW("idle-threads", "footprint", "1000", 0, 0, run_idle_threads, 0, "thread",             \
        "threads that allocate a little and sleep")                                           \
    ROW("free-all", "footprint", "1,8", 0, 0, run_free_all, 0, "block",                       \
        "256 MiB taken and freed, the threads end, then 2 s idle")                            \
                                                                                              \
    ROW("return-all", "return", "8", 0, 0, run_return_all, 0, "block",                        \
        "1 GiB taken and freed, then 2 s idle")                                               \
    ROW("return-sparse", "return", "8", 0, 0, run_return_sparse, 0, "block",                  \
        "1 GiB taken, a random 90 % of each thread's blocks freed, then 2 s idle")            \
    ROW("return-trim", "return", "8", 0, 0, run_return_trim, 0, "block",                      \
        "1 GiB taken and freed, then one malloc_trim, if the allocator has it; no idle time") \
    ROW("return-exits", "return", "8", 0, 0, run_return_exits, 0, "block",                    \
        "1 GiB taken and freed, the threads end, then 2 s idle")                              \
    ROW("return-latency", "return", "2", 0, 0, run_return_latency, 0, "pair",                 \
        "each call timed, while 8 more threads free 1 GiB and for 2 s after")                 \
    ROW("return-churn", "return", "1,8", 0, 4000000, run_return_churn, 0, "block",            \
        "sizes, lifetimes and load drift for long, 32 to 128 MiB; then 2 s idle with 32 MiB") \
                                                                                              \
    ROW("bursts-small", "cliffs", "1", 0, 0, run_cliff_bursts, CLIFF_SMALL, "block",          \
        "15 times 64 MiB of blocks of 16 to 1,024 bytes taken, all freed, then 0.1 s idle")   \
    ROW("bursts-large", "cliffs", "1", 0, 0, run_cliff_bursts, CLIFF_LARGE, "block",          \
        "the same of blocks of 64 KiB to 2 MiB")                                              \
    ROW("bursts-mixed", "cliffs", "1", 0, 0, run_cliff_bursts, CLIFF_MIXED, "block",          \
        "the same, half of the bytes in blocks of each kind")                                 \
    ROW("many-huge-2000", "cliffs", "1", 0, 0, run_many_huge, 2000, "block",                  \
        "three times 2,000 blocks of 2.2 to 3 MB taken, their ends written, then freed")      \
    ROW("many-huge-70000", "cliffs", "1", 0, 0, run_many_huge, 70000, "block",                \
        "the same with 70,000 blocks")                                                        \
    ROW("huge-calloc", "cliffs", "1", 0, 300, run_huge_calloc, 16 * MIB, "pair",              \
        "a random one of 8 blocks replaced by calloc, 16 to 64 MiB, three places touched")    \
    ROW("huge-calloc-dirty", "cliffs", "1", 0, 200, run_huge_calloc_dirty, 4 * MIB, "pair",   \
        "the same of 4 to 16 MiB, as much having been taken, written and freed before each")  \
    ROW("replace-middle", "cliffs", "1", 0, 0, run_replace_large, CLIFF_MIDDLE, "block",      \
        "random ones of 512 MiB of blocks replaced, 100 KiB to 2 MiB, all written")           \
    ROW("replace-huge", "cliffs", "1", 0, 0, run_replace_large, CLIFF_HUGE, "block",          \
        "random ones of 512 MiB of blocks replaced, 5 to 25 MB, all written")                 \
    ROW("replace-wide", "cliffs", "1", 0, 0, run_wide, CLIFF_WIDE, "block",                   \
        "blocks of 16 bytes to 64 MiB, all written, twice to 2 GiB and back to 100 MiB")      \
    ROW("shrink-at-once", "cliffs", "1", 0, 0, run_shrink, 1, "block",                        \
        "500 blocks of 1 to 3 MiB, each written and made 32 to 96 KiB; then 2 s idle")        \
    ROW("shrink-all", "cliffs", "1", 0, 0, run_shrink, 0, "block",                            \
        "the same, when all have been taken")                                                 \
    ROW("own-blocks-2500", "cliffs", "8,16,24,64", 0, 4000000, run_own_blocks, 2500, "pair",  \
        "each thread takes 16 blocks of 2,500 bytes and frees them, over and over")           \
    ROW("own-blocks-8000", "cliffs", "8,16,24,64", 0, 4000000, run_own_blocks, 8000, "pair",  \
        "each thread takes 16 blocks of 8,000 bytes and frees them, over and over")           \
    ROW("own-blocks-30000", "cliffs", "8,16,24,64", 0, 1000000, run_own_blocks, 30000,        \
        "pair", "each thread takes 16 blocks of 30,000 bytes and frees them, over and over")  \
    ROW("own-blocks-40000", "cliffs", "8,16,24,64", 0, 1000000, run_own_blocks, 40000,        \
        "pair", "each thread takes 16 blocks of 40,000 bytes and frees them, over and over")  \
    ROW("fork-save", "cliffs", "1", 0, 0, run_fork_save, 0, "block",                          \
        "with 300 MiB, five children read all while a tenth each is rewritten and replaced")  \
    ROW("fork-workers", "cliffs", "1", 0, 0, run_fork_workers, 0, "worker",                   \
        "with 300 MiB, 20 children read all, replace a fiftieth and stay")

#define DECLARE(name, group, threads, quick, operations, run_function, ...)                   \
    void run_function(struct run *run);
WORKLOADS(DECLARE)
#undef DECLARE

#endif
