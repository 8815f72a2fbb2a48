/* common.h - what the stress programs share
 *
 * Every stress program is plain C, calls the tide_ names only, has bounded
 * work and a seed that it prints, asserts nothing about time, and ends with a
 * message and status 1 on the first failure.  Nothing here allocates with
 * malloc: in an ordinary build that is the allocator under test.
 *
 * Environment: TIDE_TEST_SEED gives the seed, TIDE_TEST_SCALE multiplies
 * the work, in percent.
 */
#ifndef TIDE_TEST_STRESS_COMMON_H
#define TIDE_TEST_STRESS_COMMON_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

/* A sanitizer's own memory makes RSS and address space limits meaningless. */
#define TEST_SANITIZED (TEST_TSAN || TEST_ASAN)

#define TEST_SKIPPED 77 /* automake's status for a test that can't run here */

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---- Messages (async-signal-safe, no malloc) --------------------------- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            fail(__VA_ARGS__);                                                                     \
    } while (0)

/* Fails when the process, or a child that calls it itself, takes so long that it
 * must hang. */
void test_set_watchdog(void);

/* ---- The run: seed, amount of work ------------------------------------- */

/* Names the test in messages and prints its seed.  Call it first. */
void test_begin(const char *name);
uint64_t test_seed(void);
void test_set_seed(uint64_t seed);

/* count times TIDE_TEST_SCALE, less under sanitizers, at least 1. */
size_t test_work(size_t count);

/* Argument i as a positive number, or fallback when it is not given. */
size_t test_argument(int argc, char **argv, int i, size_t fallback);

/* ---- Random numbers (xorshift64*) -------------------------------------- */

struct rng {
    uint64_t state;
};

/* Each (seed, stream) pair is a sequence of its own. */
struct rng rng_make(uint64_t stream);

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t x = rng->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rng->state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)rng_next(rng) * limit) >> 64);
}

/* Log-distributed from 0 to 2^bits - 1: each power of two is equally likely. */
static inline size_t rng_log(struct rng *rng, unsigned bits)
{
    unsigned top = (unsigned)rng_below(rng, bits + 1);
    return top == 0 ? 0 : ((size_t)1 << (top - 1)) + rng_below(rng, (uint64_t)1 << (top - 1));
}

/* ---- Memory of the tests' own, and what the process uses ---------------- */

void *shadow_map(size_t bytes); /* zeroed, from mmap, never from malloc */
size_t rss_bytes(void);         /* resident */
size_t vm_bytes(void);          /* mapped */

/* RSS after everything that can go went back to the OS. */
size_t rss_settled(void);

/* Fails unless RSS comes back to before + 10 % + allowance. */
void check_rss_returned(size_t before, size_t allowance);

/* What stays for good reasons and isn't 10 % of a small program's RSS: the
 * stacks glibc keeps for later threads, its per-thread records, the kernel's
 * RSS counter, which is off by up to 64 pages per CPU or thread. */
#define RSS_ALLOWANCE (2 * MIB)

/* The allocator's own walk over all it has.  No other thread may be inside
 * the allocator. */
void check_heap(void);

/* ---- Contents: a pattern that depends on an id and the offset ----------- */

/* Whole blocks up to 1 KiB; head, tail and four random places of others. */
void pattern_fill(void *block, size_t size, uint64_t id);

/* Fails unless what pattern_fill(block, size, id) wrote below kept is there. */
void pattern_check(const void *block, size_t size, size_t kept, uint64_t id, const char *when);

/* ---- Parcels: blocks that carry what their receiver checks -------------- */

struct parcel {
    size_t size; /* bytes, this header included */
    uint64_t id;
};

/* A block of at least sizeof(struct parcel) bytes, log-distributed below
 * 2^bits, got with a random one of the allocating calls; never NULL. */
struct parcel *parcel_new(struct rng *rng, unsigned bits);
void parcel_check(const struct parcel *parcel);
void parcel_free(struct parcel *parcel); /* checks, then frees; NULL is fine */

/* ---- Threads ------------------------------------------------------------ */

void thread_start(pthread_t *thread, void *(*run)(void *), void *argument);
void thread_join(pthread_t thread);
void barrier_wait(pthread_barrier_t *barrier);

#endif
