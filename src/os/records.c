/* os/records.c - see records.h.  lock guards the rest of the current chunk, and is
 * not held while another is mapped. */
#include "os/records.h"

#include "base/bits.h"
#include "base/geometry.h"
#include "base/lock.h"
#include "os/map.h"

enum { CHUNK_BYTES = 64 * 1024 };

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;
static char *rest;           /* under lock */
static size_t rest_bytes;    /* under lock */
static _Atomic size_t given; /* under lock, read by walkers */

/* Under lock.  NULL: the chunk hasn't so much left. */
static void *carve(size_t bytes)
{
    void *record = rest;

    if (rest_bytes < bytes)
        return NULL;
    rest += bytes;
    rest_bytes -= bytes;
    tide_count(&given, bytes);
    return record;
}

static void *take(size_t bytes)
{
    void *record;

    tide_lock(&lock);
    record = carve(bytes);
    tide_unlock(&lock);
    return record;
}

/* From a new chunk, which isn't needed if another thread has brought one by now. */
static void *take_from(char *start, size_t chunk, size_t bytes)
{
    bool is_needed;
    void *record;

    tide_lock(&lock);
    is_needed = rest_bytes < bytes;
    if (is_needed) {
        rest = start;
        rest_bytes = chunk;
    }
    record = carve(bytes);
    tide_unlock(&lock);
    if (!is_needed)
        tide_os_unmap(start, chunk);
    return record;
}

void *tide_os_record(size_t bytes)
{
    size_t chunk;
    void *record;
    char *start;

    bytes = tide_round_up(bytes, TIDE_CACHE_LINE);
    record = take(bytes);
    if (record)
        return record;
    chunk = tide_round_up(bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES, tide_os_page_bytes);
    start = tide_os_map(chunk, tide_os_page_bytes);
    return start ? take_from(start, chunk, bytes) : NULL;
}

size_t tide_os_record_bytes(void)
{
    return tide_relaxed(&given);
}

struct tide_lock *tide_os_records_lock(void)
{
    return &lock;
}

void tide_os_forget_records(void)
{
    rest = NULL;
    rest_bytes = 0;
}
