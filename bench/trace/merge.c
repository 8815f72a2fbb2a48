/* bench/trace/merge.c - a binary heap of the threads' next events */
#include "merge.h"

static bool is_less(const struct merge *merge, uint32_t a, uint32_t b)
{
    return merge->lanes[merge->heap[a]].key < merge->lanes[merge->heap[b]].key;
}

static void swap(struct merge *merge, uint32_t a, uint32_t b)
{
    uint32_t lane = merge->heap[a];
    merge->heap[a] = merge->heap[b];
    merge->heap[b] = lane;
}

static void sink(struct merge *merge, uint32_t at)
{
    for (;;) {
        uint32_t least = at, left = 2 * at + 1;
        if (left < merge->count && is_less(merge, left, least))
            least = left;
        if (left + 1 < merge->count && is_less(merge, left + 1, least))
            least = left + 1;
        if (least == at)
            return;
        swap(merge, at, least);
        at = least;
    }
}

/* The lane's next event; 1, 0, -1 as trace_next. */
static int advance(struct merge_lane *lane, struct trace_error *error)
{
    int got = trace_next(&lane->cursor, &lane->event, error);
    bool is_realloc = lane->event.operation == TRACE_REALLOC;
    lane->has_begun = !is_realloc;
    lane->key = is_realloc ? lane->event.began : lane->event.order;
    return got;
}

bool merge_start(struct merge *merge, const struct trace *trace, struct trace_error *error)
{
    uint32_t threads = trace->end.thread;
    *merge = (struct merge){
        .lanes_room = threads * sizeof *merge->lanes,
        .heap_room = threads * sizeof *merge->heap,
    };
    merge->lanes = trace_map(merge->lanes_room);
    merge->heap = trace_map(merge->heap_room);
    bool is_good = merge->lanes != NULL && merge->heap != NULL;
    if (!is_good)
        trace_fail(error, "no memory to read it");
    for (uint32_t i = 0; is_good && i < threads; i++) {
        if (trace->threads[i].events == 0)
            continue;
        struct merge_lane *lane = &merge->lanes[i];
        lane->thread = i;
        trace_start(&lane->cursor, trace, i);
        is_good = advance(lane, error) > 0;
        merge->heap[merge->count++] = i;
    }
    if (!is_good)
        merge_stop(merge);
    for (uint32_t at = merge->count / 2; at-- > 0;)
        sink(merge, at);
    return is_good;
}

void merge_stop(struct merge *merge)
{
    trace_unmap(merge->lanes, merge->lanes_room);
    trace_unmap(merge->heap, merge->heap_room);
    *merge = (struct merge){0};
}

static void remove_first(struct merge *merge)
{
    merge->heap[0] = merge->heap[--merge->count];
    sink(merge, 0);
}

/* What was returned last lies behind. */
static bool pass_last(struct merge *merge, struct trace_error *error)
{
    struct merge_lane *lane = &merge->lanes[merge->heap[0]];
    if (!lane->has_begun) {
        lane->has_begun = true;
        lane->key = lane->event.order;
    } else {
        int got = advance(lane, error);
        if (got < 0)
            return false;
        if (got == 0) {
            remove_first(merge);
            return true;
        }
    }
    sink(merge, 0);
    return true;
}

int merge_next(struct merge *merge, uint32_t *thread, const struct trace_event **event,
               bool *begins, struct trace_error *error)
{
    if (merge->has_last && !pass_last(merge, error))
        return -1;
    if (merge->count == 0)
        return 0;
    struct merge_lane *lane = &merge->lanes[merge->heap[0]];
    if (merge->has_last && lane->key <= merge->last_key) {
        trace_fail(error, "damaged: two events of order %llu", (unsigned long long)lane->key);
        return -1;
    }
    merge->has_last = true;
    merge->last_key = lane->key;
    *thread = lane->thread;
    *event = &lane->event;
    *begins = !lane->has_begun;
    return 1;
}
