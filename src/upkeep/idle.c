/* upkeep/idle.c - see idle.h; what makes it safe to take a heap is said in heap.h */
#include "upkeep/idle.h"

#include "base/lock.h"
#include "heap/common.h"
#include "heap/orphans.h"
#include "os/barrier.h"
#include "upkeep/tidy.h"

enum {
    BATCH = 4,             /* heaps that one barrier is passed for */
    BUSY_SLICES = 32,      /* at a look, of a heap that is in use */
    MOST_SLICES = 1 << 20, /* of one that isn't: it may come into use meanwhile */
    MOST_INSIDE = 8,       /* tries in a row that found the owner inside */
    MOST_REFUSALS = 64,    /* looks that did, after which none is made for the heap's sake */
};

_Atomic size_t tide_idle_taken;

/* A heap that is being tidied, between slices. */
struct patient {
    struct heap *heap;
    bool is_only_idle; /* it is in use */
    bool is_begun;
    bool is_taken;
    bool was_treated;
    unsigned slices; /* that it may still have */
    unsigned inside; /* tries in a row that found its owner there */
    struct tide_aside aside;
};

/* Those of one pass over the heaps. */
struct ward {
    struct patient patients[BATCH];
    unsigned count;
    size_t returned; /* bytes */
};

static bool is_owned(const struct heap *heap)
{
    return tide_relaxed(&heap->state) == HEAP_OWNED;
}

/* ---- A round: every patient gets a slice ------------------------------- */

/* Whether an owner has to pass a barrier, as it may be inside. */
static bool needs_barrier(const struct heap *heap)
{
    return is_owned(heap) && !tide_heap_is_own(heap);
}

static bool close_door(struct patient *patient)
{
    struct heap *heap = patient->heap;

    patient->is_taken = tide_relaxed(&heap->state) != HEAP_RETIRED &&
                        (tide_heap_is_common(heap) || tide_heap_close(heap));
    return patient->is_taken && needs_barrier(heap);
}

/* Whether the heap is this thread's now.  One whose thread has ended was in use when its
 * state was set, so the state is asked for first. */
static bool is_left(const struct patient *patient, bool is_passed)
{
    struct heap *heap = patient->heap;
    bool is_ended = tide_acquire(&heap->state) == HEAP_ORPHAN; /* pairs with hand_over's */

    return tide_heap_is_common(heap) ||
           ((is_passed || is_ended || tide_heap_is_own(heap)) && tide_heap_is_left(heap));
}

/* A pass over a heap that is in use goes on where the last one was stopped. */
static void begin(struct patient *patient)
{
    const struct tidying *tidying = &patient->heap->tidying;

    if (!patient->is_only_idle || !tidying->is_only_idle || tidying->step == TIDY_DONE)
        tide_heap_tidy_begin(patient->heap, patient->is_only_idle);
    patient->is_begun = true;
}

/* Whether there is more to do for it. */
static bool treat(struct patient *patient)
{
    struct heap *heap = patient->heap;
    bool is_common = tide_heap_is_common(heap), is_more;

    if (is_common)
        tide_lock(tide_common_lock());
    if (!patient->is_begun)
        begin(patient);
    is_more = tide_heap_tidy(heap, &patient->aside);
    patient->was_treated = true;
    if (heap->tidying.is_disturbed && patient->slices > BUSY_SLICES)
        patient->slices = BUSY_SLICES;
    if (is_common)
        tide_unlock(tide_common_lock());
    return is_more || patient->aside.page_count > 0; /* which arrive later */
}

static bool treat_if_left(struct patient *patient, bool is_passed)
{
    struct heap *heap = patient->heap;
    bool is_more;

    if (!patient->is_taken)
        return false;
    if (is_left(patient, is_passed)) {
        tide_count(&tide_idle_taken, is_owned(heap) && !tide_heap_is_own(heap));
        patient->inside = 0;
        is_more = treat(patient) && --patient->slices > 0;
    } else {
        is_more = ++patient->inside < MOST_INSIDE;
        heap->refusals += !is_more && heap->refusals < MOST_REFUSALS;
    }
    if (!tide_heap_is_common(heap))
        tide_heap_open(heap);
    return is_more;
}

/* Those that are through leave.  The common heap, which owners use while their doors are
 * closed, has its turn when all are open. */
static void do_round(struct ward *ward)
{
    bool is_needed = false, is_passed, is_more[BATCH];
    unsigned left = 0;

    for (unsigned n = 0; n < ward->count; n++)
        if (needs_barrier(ward->patients[n].heap))
            tide_os_barrier_start(); /* which takes long, while all doors are open */
    for (unsigned n = 0; n < ward->count; n++)
        is_needed |= close_door(&ward->patients[n]);
    is_passed = is_needed && tide_os_barrier();
    for (unsigned n = 0; n < ward->count; n++)
        if (!tide_heap_is_common(ward->patients[n].heap))
            is_more[n] = treat_if_left(&ward->patients[n], is_passed);
    for (unsigned n = 0; n < ward->count; n++)
        if (tide_heap_is_common(ward->patients[n].heap))
            is_more[n] = treat_if_left(&ward->patients[n], is_passed);
    for (unsigned n = 0; n < ward->count; n++) {
        struct patient *patient = &ward->patients[n];

        ward->returned += tide_aside_dispose(&patient->aside);
        if (is_more[n])
            ward->patients[left++] = *patient;
        else if (!patient->is_only_idle && patient->was_treated &&
                 tide_relaxed(&patient->heap->state) == HEAP_ORPHAN)
            tide_heap_note_bare(patient->heap);
    }
    ward->count = left;
}

/* Not all of its memory is written. */
static void open_ward(struct ward *ward)
{
    ward->count = 0;
    ward->returned = 0;
}

static void admit(struct ward *ward, struct heap *heap, bool is_only_idle)
{
    struct patient *patient;

    while (ward->count == BATCH)
        do_round(ward);
    patient = &ward->patients[ward->count++];
    patient->heap = heap;
    patient->is_only_idle = is_only_idle;
    patient->is_begun = patient->was_treated = false;
    patient->slices = is_only_idle ? BUSY_SLICES : MOST_SLICES;
    patient->inside = 0;
    tide_aside_init(&patient->aside);
}

static size_t treat_all(struct ward *ward)
{
    while (ward->count > 0)
        do_round(ward);
    return ward->returned;
}

/* ---- Who is treated: under the look's lock ----------------------------- */

/* Whether it may have something to give back. */
static bool has_moved(const struct heap *heap)
{
    return (tide_relaxed(&heap->moves) != tide_relaxed(&heap->moves_rested) ||
            tide_relaxed(&heap->inbox) || tide_relaxed(&heap->purged)) &&
           tide_relaxed(&heap->state) != HEAP_RETIRED;
}

/* Whether the heap was in no use since the last look. */
static bool is_at_rest(struct heap *heap)
{
    uint32_t moves = tide_relaxed(&heap->moves);
    bool is_so = moves == tide_relaxed(&heap->moves_seen);

    if (!is_so)
        heap->refusals = 0;
    tide_set_relaxed(&heap->moves_seen, moves);
    return is_so;
}

/* Whether it is to be looked at again. */
static bool is_waiting(const struct heap *heap)
{
    return has_moved(heap) && heap->refusals < MOST_REFUSALS;
}

size_t tide_idle_look(void)
{
    struct ward ward;
    size_t waiting = 0;

    open_ward(&ward);
    tide_tidy_count_look();
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (has_moved(heap))
            admit(&ward, heap, !is_at_rest(heap));
    treat_all(&ward);
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        waiting += is_waiting(heap);
    return waiting;
}

/* Where the next of several calls goes on. */
static struct ward looked_at;
static struct heap *last_looked_at; /* NULL: the look is to begin */
static struct heap *last_collected;

static struct heap *next_moved(struct heap *heap)
{
    do
        heap = tide_heap_next(heap);
    while (heap && !has_moved(heap));
    return heap;
}

bool tide_idle_look_on(void)
{
    if (looked_at.count == 0) {
        struct heap *heap = next_moved(last_looked_at);

        if (!last_looked_at)
            tide_tidy_count_look();
        last_looked_at = heap;
        if (!heap)
            return false;
        admit(&looked_at, heap, !is_at_rest(heap));
    }
    do_round(&looked_at);
    return true;
}

void tide_idle_forget(void)
{
    open_ward(&looked_at);
    last_looked_at = last_collected = NULL;
}

size_t tide_idle_give_back_all(bool is_only_moved)
{
    struct ward ward;

    open_ward(&ward);
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (!is_only_moved || has_moved(heap))
            admit(&ward, heap, false);
    return treat_all(&ward);
}

size_t tide_idle_give_back_own(void)
{
    struct heap *heap = tide_heap_own();
    struct ward ward;

    open_ward(&ward);
    if (heap)
        admit(&ward, heap, false);
    return treat_all(&ward);
}

void tide_idle_collect_on(void)
{
    struct ward ward;

    open_ward(&ward);
    last_collected = next_moved(last_collected);
    if (!last_collected)
        last_collected = next_moved(NULL);
    if (!last_collected)
        return;
    admit(&ward, last_collected, true);
    do_round(&ward);
}
