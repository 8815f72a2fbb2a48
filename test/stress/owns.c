/* owns.c - asking whose an address is while blocks come and go there
 *
 * usage: owns [questions]
 *
 * Threads map, resize and unmap large blocks without pause.  The main thread
 * asks about those very addresses, on which no answer is wrong but a crash is,
 * and about some whose answer is known.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "base/options.h"
#include "common.h"
#include "tidepool/malloc.h"

enum { THREADS = 4 };

static _Atomic(char *) newest[THREADS];
static atomic_bool is_over;

/* So much is unmapped when it is freed, and nothing waits. */
static const size_t large_bytes = 80 * MIB;

static void *run_mapper(void *argument)
{
    _Atomic(char *) *place = argument;
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        char *block = tide_malloc(large_bytes);
        REQUIRE(block != NULL, "no memory for a large block");
        atomic_store_explicit(place, block, memory_order_relaxed);
        REQUIRE(tide_owns(block), "a live large block is said to be foreign");
        block = tide_realloc(block, 2 * large_bytes);
        REQUIRE(block != NULL, "no memory for a larger block");
        atomic_store_explicit(place, block, memory_order_relaxed);
        tide_free(block);
    }
    return NULL;
}

/* Blocks of each kind: in a pool, of the store. */
static const size_t known_sizes[] = {8, 100, 2000, 70000, MIB, 8 * MIB};
enum { KNOWN = sizeof(known_sizes) / sizeof(known_sizes[0]) };

static void ask(struct rng *rng, char *known[KNOWN])
{
    char local;
    char *block = atomic_load_explicit(&newest[rng_below(rng, THREADS)], memory_order_relaxed);
    tide_owns(block);
    tide_owns((char *)((uintptr_t)block + rng_below(rng, 3 * large_bytes) - large_bytes / 2));

    uint64_t i = rng_below(rng, KNOWN);
    REQUIRE(tide_owns(known[i] + rng_below(rng, known_sizes[i])),
            "an address in a live block of %zu bytes is said to be foreign", known_sizes[i]);
    REQUIRE(!tide_owns(&local) && !tide_owns(known_sizes) && !tide_owns(NULL),
            "an address of the program's is said to be tidepool's");
}

int main(int argc, char **argv)
{
    test_begin("owns");
    size_t questions = test_argument(argc, argv, 1, test_work(2000000));
    struct rng rng = rng_make(1);
    pthread_t threads[THREADS];
    char *known[KNOWN];

    tide_options.decay_ms = 0;
    for (int i = 0; i < KNOWN; i++)
        REQUIRE((known[i] = tide_malloc(known_sizes[i])) != NULL, "no memory");
    for (int i = 0; i < THREADS; i++)
        thread_start(&threads[i], run_mapper, &newest[i]);
    for (size_t i = 0; i < questions; i++)
        ask(&rng, known);
    atomic_store(&is_over, true);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    for (int i = 0; i < KNOWN; i++)
        tide_free(known[i]);
    check_heap();
    say("%zu questions about each kind of address", questions);
    return 0;
}
