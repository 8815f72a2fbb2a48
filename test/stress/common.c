/* common.c - see common.h */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check/invariants.h"
#include "tidepool/malloc.h"

static const char *name = "stress";
static uint64_t seed = 20240229;

/* ---- Messages ----------------------------------------------------------- */

static void write_line(int fd, const char *format, va_list arguments)
{
    char line[512];
    int length = snprintf(line, sizeof(line), "%s: ", name);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length - 1, format, arguments);
    if ((size_t)length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length] = '\n';
    if (write(fd, line, (size_t)length + 1) < 0)
        _exit(2);
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(STDOUT_FILENO, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(STDERR_FILENO, format, arguments);
    va_end(arguments);
    _exit(1);
}

enum { WATCHDOG_SECONDS = 300 };

static void on_alarm(int signal_number)
{
    (void)signal_number;
    fail("process %ld hangs: %d seconds without an end", (long)getpid(), WATCHDOG_SECONDS);
}

void test_set_watchdog(void)
{
    signal(SIGALRM, on_alarm);
    alarm(WATCHDOG_SECONDS); /* a child doesn't inherit it */
}

/* ---- The run ------------------------------------------------------------ */

void test_begin(const char *test_name)
{
    name = test_name;
    const char *text = getenv("TIDE_TEST_SEED");
    if (text != NULL)
        seed = strtoull(text, NULL, 0);
    say("seed %llu", (unsigned long long)seed);
}

uint64_t test_seed(void)
{
    return seed;
}

void test_set_seed(uint64_t new_seed)
{
    seed = new_seed;
    say("seed %llu", (unsigned long long)seed);
}

size_t test_work(size_t count)
{
    const char *text = getenv("TIDE_TEST_SCALE");
    double scale = text != NULL ? strtod(text, NULL) / 100 : 1.0;
    if (TEST_TSAN)
        scale /= 20;
    else if (TEST_ASAN)
        scale /= 4;
    double work = (double)count * scale;
    return work < 1 ? 1 : (size_t)work;
}

size_t test_argument(int argc, char **argv, int i, size_t fallback)
{
    if (i >= argc)
        return fallback;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(argv[i], &end, 0);
    REQUIRE(errno == 0 && *end == '\0' && value > 0, "argument %d is no positive number: %s", i,
            argv[i]);
    return value;
}

/* ---- Random numbers ------------------------------------------------------ */

static uint64_t mix(uint64_t x) /* splitmix64's finish */
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

struct rng rng_make(uint64_t stream)
{
    uint64_t state = mix(seed ^ mix(stream));
    return (struct rng){state != 0 ? state : 1};
}

/* ---- Memory --------------------------------------------------------------- */

void *shadow_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(memory != MAP_FAILED, "no %zu bytes for the test's own records: %s", bytes,
            strerror(errno));
    return memory;
}

static size_t statm_bytes(unsigned field)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0, "/proc/self/statm: %s", strerror(errno));
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    REQUIRE(length > 0, "/proc/self/statm can't be read");
    text[length] = '\0';
    char *at = text;
    while (field-- > 0)
        at = strchr(at, ' ') + 1;
    return strtoull(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

size_t vm_bytes(void)
{
    return statm_bytes(0);
}

size_t rss_bytes(void)
{
    return statm_bytes(1);
}

static void pause_ms(long milliseconds)
{
    struct timespec time = {.tv_nsec = milliseconds * 1000000};
    nanosleep(&time, NULL);
}

size_t rss_settled(void)
{
    /* Arenas go after a grace period, which may end on another thread. */
    size_t least = SIZE_MAX;
    for (int i = 0; i < 5; i++) {
        tide_malloc_trim(0);
        size_t now = rss_bytes();
        least = now < least ? now : least;
        pause_ms(10);
    }
    return least;
}

void check_rss_returned(size_t before, size_t allowance)
{
    if (TEST_SANITIZED)
        return;
    size_t limit = before + before / 10 + allowance, now = 0;
    for (int i = 0; i < 100; i++) {
        tide_malloc_trim(0);
        now = rss_bytes();
        if (now <= limit) {
            say("RSS %zu KiB before, %zu KiB after", before / KIB, now / KIB);
            return;
        }
        pause_ms(20);
    }
    fail("RSS stays: %zu KiB before, %zu KiB after everything was freed, at most %zu KiB expected",
         before / KIB, now / KIB, limit / KIB);
}

void check_heap(void)
{
    tide_check_all();
}

/* ---- Contents -------------------------------------------------------------- */

struct spot {
    size_t from, to;
};

enum { SPOTS_MAX = 6, WHOLE_BYTES = 1024, END_BYTES = 64, SPOT_BYTES = 16 };

static int find_spots(size_t size, uint64_t id, struct spot spots[SPOTS_MAX])
{
    if (size <= WHOLE_BYTES) {
        spots[0] = (struct spot){0, size};
        return 1;
    }
    spots[0] = (struct spot){0, END_BYTES};
    spots[1] = (struct spot){size - END_BYTES, size};
    for (int i = 2; i < SPOTS_MAX; i++) {
        size_t from = mix(id + (uint64_t)i) % (size - SPOT_BYTES);
        spots[i] = (struct spot){from, from + SPOT_BYTES};
    }
    return SPOTS_MAX;
}

static inline uint64_t pattern_word(uint64_t id, size_t index)
{
    uint64_t x = (id + index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return x ^ (x >> 29);
}

/* Bytes from offset to the end of its word, or of the spot. */
static inline size_t piece_bytes(size_t offset, size_t to)
{
    size_t rest = sizeof(uint64_t) - offset % sizeof(uint64_t);
    return rest < to - offset ? rest : to - offset;
}

static void fill_spot(unsigned char *block, struct spot spot, uint64_t id)
{
    for (size_t at = spot.from, n; at < spot.to; at += n) {
        uint64_t word = pattern_word(id, at / sizeof(word));
        n = piece_bytes(at, spot.to);
        if (n == sizeof(word))
            memcpy(block + at, &word, sizeof(word));
        else
            memcpy(block + at, (unsigned char *)&word + at % sizeof(word), n);
    }
}

static size_t first_wrong(const unsigned char *block, struct spot spot, uint64_t id)
{
    for (size_t at = spot.from, n; at < spot.to; at += n) {
        uint64_t word = pattern_word(id, at / sizeof(word)), found;
        n = piece_bytes(at, spot.to);
        if (n == sizeof(word)) {
            memcpy(&found, block + at, sizeof(found));
            if (found != word)
                return at;
        } else if (memcmp(block + at, (unsigned char *)&word + at % sizeof(word), n) != 0) {
            return at;
        }
    }
    return SIZE_MAX;
}

void pattern_fill(void *block, size_t size, uint64_t id)
{
    struct spot spots[SPOTS_MAX];
    int count = find_spots(size, id, spots);
    for (int i = 0; i < count; i++)
        fill_spot(block, spots[i], id);
}

void pattern_check(const void *block, size_t size, size_t kept, uint64_t id, const char *when)
{
    struct spot spots[SPOTS_MAX];
    int count = find_spots(size, id, spots);
    for (int i = 0; i < count; i++) {
        struct spot spot = spots[i];
        if (spot.to > kept)
            spot.to = kept;
        size_t wrong = first_wrong(block, spot, id);
        REQUIRE(wrong == SIZE_MAX, "%s: block %p of %zu bytes, id %#llx, changed at offset %zu",
                when, block, size, (unsigned long long)id, wrong);
    }
}

/* ---- Parcels ---------------------------------------------------------------- */

static void *parcel_block(struct rng *rng, size_t size)
{
    void *block = NULL;
    switch (rng_below(rng, 8)) {
    case 0:
        return tide_calloc(1, size);
    case 1:
        return tide_aligned_alloc((size_t)8 << rng_below(rng, 10), size);
    case 2:
        return tide_realloc(tide_malloc(size / 2 + 1), size);
    case 3:
        return tide_posix_memalign(&block, 64, size) == 0 ? block : NULL;
    default:
        return tide_malloc(size);
    }
}

struct parcel *parcel_new(struct rng *rng, unsigned bits)
{
    size_t size = sizeof(struct parcel) + rng_log(rng, bits);
    struct parcel *parcel = parcel_block(rng, size);
    REQUIRE(parcel != NULL, "no memory for a block of %zu bytes", size);
    *parcel = (struct parcel){.size = size, .id = rng_next(rng)};
    pattern_fill(parcel + 1, size - sizeof(*parcel), parcel->id);
    return parcel;
}

void parcel_check(const struct parcel *parcel)
{
    size_t size = parcel->size, usable = tide_usable_size(parcel);
    REQUIRE(size >= sizeof(*parcel) && size <= usable,
            "block %p: its size is said to be %zu, usable are %zu", (const void *)parcel, size,
            usable);
    size -= sizeof(*parcel);
    pattern_check(parcel + 1, size, size, parcel->id, "on arrival");
}

void parcel_free(struct parcel *parcel)
{
    if (parcel == NULL)
        return;
    parcel_check(parcel);
    errno = EXDEV;
    tide_free(parcel);
    REQUIRE(errno == EXDEV, "free changed errno to %d", errno);
}

/* ---- Threads ------------------------------------------------------------------ */

void thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, run, argument);
    REQUIRE(error == 0, "no new thread: %s", strerror(error));
}

void thread_join(pthread_t thread)
{
    int error = pthread_join(thread, NULL);
    REQUIRE(error == 0, "thread can't be joined: %s", strerror(error));
}

void barrier_wait(pthread_barrier_t *barrier)
{
    int error = pthread_barrier_wait(barrier);
    REQUIRE(error == 0 || error == PTHREAD_BARRIER_SERIAL_THREAD, "barrier: %s", strerror(error));
}
