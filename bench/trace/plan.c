/* bench/trace/plan.c - from the events of a trace to the steps of its replay
 *
 * The events are walked twice in their order.  The first walk counts steps and
 * finds which blocks are shared; the second writes the steps.
 */
#include "plan.h"

#include "blocks.h"
#include "merge.h"

#define SLAB_LEAST     8  /* slots that a thread takes at a time */
#define SLAB_MOST      64
#define SPAN_MOST      65536 /* operations, so that shared slots are used again */
#define DRIFT_USED     0.98 /* the bytes alive may fall by the drift itself */
#define NO_SLOT        UINT32_MAX
#define NO_SPAN        UINT32_MAX

/* A thread while it is planned. */
struct worker {
    struct block moving; /* the block of a realloc that began */
    bool has_moving;
    bool was_created;
    bool has_ended;
    uint32_t span;      /* of its last step; NO_SPAN */
    int64_t net, low, high; /* change of bytes alive by its calls in this span, and its bounds */
    uint32_t free_slot; /* a list through next_slot; NO_SLOT */
    uint32_t slab_at, slab_end, slab_size;
};

/* A shared slot whose block was freed. */
struct returned_slot {
    uint32_t slot;
    uint32_t turn;
    uint32_t span;
};

struct builder {
    struct plan *plan;
    const struct trace *trace;
    struct trace_error *error;
    bool is_writing;     /* the second walk */
    uint64_t event_most; /* events to walk */
    struct blocks blocks;
    struct worker *workers;
    uint64_t *shared; /* a bit by block number */
    uint64_t block_count;
    uint32_t *next_slot;
    struct returned_slot *returned; /* a queue */
    uint64_t returned_first, returned_end;
    uint64_t operations; /* so far */
    double drift;
    uint32_t span;
    uint32_t span_threads; /* that take part in it */
    uint64_t span_first;   /* operations when it began */
    uint64_t span_range;   /* sum over threads of high - low */
    uint32_t alive; /* threads */
    uint32_t last_thread;
    uint64_t live;
    uint64_t peak;
};

static void *room(struct plan *plan, uint64_t size)
{
    void *memory = trace_map(size);
    if (memory != NULL) {
        plan->rooms[plan->room_count].memory = memory;
        plan->rooms[plan->room_count++].size = size;
    }
    return memory;
}

/* ---- Steps --------------------------------------------------------------- */

static void write_step(struct plan_thread *thread, struct step step)
{
    thread->steps[thread->step_count++] = step;
}

/* The thread takes part in the present span from here on. */
static void enter_span(struct builder *builder, uint32_t number)
{
    struct worker *worker = &builder->workers[number];
    struct plan_thread *thread = &builder->plan->threads[number];
    if (!builder->is_writing || worker->span == builder->span)
        return;
    if (worker->span == NO_SPAN)
        thread->first_span = builder->span;
    else
        write_step(thread, (struct step){
                               .kind = STEP_SPAN, .slot = worker->span, .turn = builder->span});
    worker->span = builder->span;
    worker->net = worker->low = worker->high = 0;
    thread->takes_part = true;
    builder->span_threads++;
    builder->plan->span_threads[builder->span]++;
}

/* Unless the present one is empty. */
static void begin_span(struct builder *builder)
{
    struct plan *plan = builder->plan;
    if (builder->span_threads == 0)
        return;
    plan->span_live[builder->span] = builder->live;
    plan->span_ends[builder->span] = builder->operations;
    builder->span++;
    builder->span_threads = 0;
    builder->span_first = builder->operations;
    builder->span_range = 0;
}

static uint64_t range_with(const struct worker *worker, int64_t change)
{
    int64_t net = worker->net + change;
    int64_t low = net < worker->low ? net : worker->low;
    int64_t high = net > worker->high ? net : worker->high;
    return (uint64_t)(high - low);
}

/* Whether the call would let the bytes alive drift too far in its span: however
 * threads are interleaved, by no more than the sum of their ranges. */
static bool drifts(const struct builder *builder, uint32_t number, int64_t change)
{
    const struct worker *worker = &builder->workers[number];
    bool takes_part = worker->span == builder->span;
    double base = PLAN_FLOOR * (double)builder->peak;
    if (builder->drift <= 0 || builder->span_threads + !takes_part < 2)
        return false;
    if (builder->operations - builder->span_first >= SPAN_MOST)
        return true;
    uint64_t range = builder->span_range;
    if (takes_part)
        range += range_with(worker, change) - range_with(worker, 0);
    else
        range += (uint64_t)(change < 0 ? -change : change);
    if ((double)builder->live > base)
        base = (double)builder->live;
    return (double)range > DRIFT_USED * builder->drift * base;
}

static void count_change(struct builder *builder, uint32_t number, int64_t change)
{
    struct worker *worker = &builder->workers[number];
    builder->span_range += range_with(worker, change) - range_with(worker, 0);
    worker->net += change;
    if (worker->net < worker->low)
        worker->low = worker->net;
    if (worker->net > worker->high)
        worker->high = worker->net;
}

static void add_step(struct builder *builder, uint32_t number, struct step step)
{
    struct plan_thread *thread = &builder->plan->threads[number];
    thread->is_used = true;
    if (!builder->is_writing) {
        thread->step_count++;
        return;
    }
    enter_span(builder, number);
    write_step(thread, step);
}

static void count_call(struct plan_counts *counts, enum step_kind kind)
{
    counts->malloc_calls += kind == STEP_MALLOC;
    counts->calloc_calls += kind == STEP_CALLOC;
    counts->aligned_calls += kind == STEP_ALIGNED;
    counts->realloc_calls += kind == STEP_REALLOC;
    counts->free_calls += kind == STEP_FREE;
    counts->free_null_calls += kind == STEP_FREE_NULL;
}

/* A step that is a call; change: of the bytes alive. */
static void add_call(struct builder *builder, uint32_t number, struct step step, int64_t change)
{
    struct plan *plan = builder->plan;
    if (builder->is_writing && drifts(builder, number, change))
        begin_span(builder);
    add_step(builder, number, step);
    builder->operations++;
    builder->live += (uint64_t)change;
    if (builder->live > builder->peak)
        builder->peak = builder->live;
    if (!builder->is_writing)
        return;
    count_change(builder, number, change);
    count_call(&plan->counts, step.kind);
    if (builder->operations % plan->stride == 0)
        plan->point_live[plan->point_count++] = builder->live;
}

/* ---- Slots --------------------------------------------------------------- */

static uint32_t take_own_slot(struct builder *builder, struct worker *worker)
{
    uint32_t slot = worker->free_slot;
    if (slot != NO_SLOT) {
        worker->free_slot = builder->next_slot[slot];
        return slot;
    }
    if (worker->slab_at == worker->slab_end) {
        uint32_t size = worker->slab_size;
        worker->slab_size = size < SLAB_LEAST ? SLAB_LEAST : size < SLAB_MOST ? 2 * size : size;
        worker->slab_at = builder->plan->slot_count;
        worker->slab_end = builder->plan->slot_count += worker->slab_size;
    }
    return worker->slab_at++;
}

/* A freed one of an earlier span, whose free is over, else a new one. */
static uint32_t take_shared_slot(struct builder *builder, uint32_t *turn)
{
    *turn = 0;
    if (builder->returned_first == builder->returned_end ||
        builder->returned[builder->returned_first].span == builder->span)
        return builder->plan->slot_count++;
    struct returned_slot *returned = &builder->returned[builder->returned_first++];
    *turn = returned->turn;
    return returned->slot;
}

static bool is_shared(const struct builder *builder, const struct block *block)
{
    return builder->shared[block->number / 64] >> block->number % 64 & 1;
}

static void take_slot(struct builder *builder, struct block *block)
{
    block->turn = 0;
    if (!builder->is_writing)
        return;
    if (is_shared(builder, block))
        block->slot = take_shared_slot(builder, &block->turn);
    else
        block->slot = take_own_slot(builder, &builder->workers[block->thread]);
}

static void return_slot(struct builder *builder, const struct block *block)
{
    if (!builder->is_writing)
        return;
    if (is_shared(builder, block)) {
        builder->returned[builder->returned_end++] = (struct returned_slot){
            .slot = block->slot, .turn = block->turn, .span = builder->span};
        return;
    }
    struct worker *worker = &builder->workers[block->thread];
    builder->next_slot[block->slot] = worker->free_slot;
    worker->free_slot = block->slot;
}

/* ---- Calls --------------------------------------------------------------- */

/* A thread handles the block: shared, unless it is the one that allocated it. */
static void handle(struct builder *builder, uint32_t thread, const struct block *block)
{
    if (thread == block->thread)
        return;
    builder->shared[block->number / 64] |= UINT64_C(1) << block->number % 64;
    if (builder->is_writing)
        builder->plan->counts.from_other++;
}

static struct step step_of(const struct builder *builder, enum step_kind kind, struct block *block)
{
    return (struct step){
        .kind = kind,
        .slot = block->slot,
        .turn = block->turn++,
        .size = block->size,
        .is_shared = is_shared(builder, block),
    };
}

static void add_free(struct builder *builder, uint32_t thread, struct block block)
{
    handle(builder, thread, &block);
    add_call(builder, thread, step_of(builder, STEP_FREE, &block), -(int64_t)block.size);
    return_slot(builder, &block);
}

/* The allocator gave an address that is in use: its free went unseen. */
static void free_unseen(struct builder *builder, uint32_t thread, uint64_t address)
{
    struct block *found = blocks_find(&builder->blocks, address);
    if (found == NULL)
        return;
    struct block block = *found;
    blocks_remove(&builder->blocks, found);
    add_free(builder, thread, block);
    builder->plan->counts.implied += builder->is_writing;
}

static bool keep(struct builder *builder, const struct block *block)
{
    return blocks_add(&builder->blocks, block) ||
           trace_fail(builder->error, "no memory to plan it");
}

static bool check_size(const struct builder *builder, const struct trace_event *event)
{
    if (event->size <= STEP_SIZE_MOST)
        return true;
    return trace_fail(builder->error, "damaged: a block of %llu bytes at order %llu",
                      (unsigned long long)event->size, (unsigned long long)event->order);
}

static bool plan_allocation(struct builder *builder, uint32_t thread, enum step_kind kind,
                            const struct trace_event *event)
{
    if (event->block == 0) {
        builder->plan->counts.failed += builder->is_writing;
        return true;
    }
    if (!check_size(builder, event))
        return false;
    free_unseen(builder, thread, event->block);
    struct block block = {
        .address = event->block,
        .number = builder->block_count++,
        .size = event->size,
        .thread = thread,
    };
    take_slot(builder, &block);
    struct step step = step_of(builder, kind, &block);
    step.align_log2 = event->align_log2;
    add_call(builder, thread, step, (int64_t)block.size);
    return keep(builder, &block);
}

static bool plan_free_call(struct builder *builder, uint32_t thread, uint64_t address)
{
    struct block *found = address != 0 ? blocks_find(&builder->blocks, address) : NULL;
    if (found == NULL) {
        builder->plan->counts.foreign += builder->is_writing;
        return true;
    }
    struct block block = *found;
    blocks_remove(&builder->blocks, found);
    add_free(builder, thread, block);
    return true;
}

static bool plan_realloc_begin(struct builder *builder, uint32_t thread,
                               const struct trace_event *event)
{
    struct worker *worker = &builder->workers[thread];
    struct block *found =
        event->old_block != 0 ? blocks_find(&builder->blocks, event->old_block) : NULL;
    worker->has_moving = found != NULL;
    if (found != NULL) {
        worker->moving = *found;
        blocks_remove(&builder->blocks, found);
    }
    return true;
}

static bool plan_realloc_failure(struct builder *builder, uint32_t thread,
                                 const struct trace_event *event)
{
    struct worker *worker = &builder->workers[thread];
    if (event->size == 0 && worker->has_moving) {
        add_free(builder, thread, worker->moving);
        return true;
    }
    builder->plan->counts.failed += builder->is_writing;
    if (!worker->has_moving)
        return true;
    free_unseen(builder, thread, worker->moving.address);
    return keep(builder, &worker->moving);
}

static bool plan_realloc(struct builder *builder, uint32_t thread, const struct trace_event *event)
{
    struct worker *worker = &builder->workers[thread];
    if (event->block == 0)
        return plan_realloc_failure(builder, thread, event);
    if (!worker->has_moving) {
        builder->plan->counts.foreign += builder->is_writing && event->old_block != 0;
        return plan_allocation(builder, thread, STEP_MALLOC, event);
    }
    if (!check_size(builder, event))
        return false;
    struct block block = worker->moving;
    handle(builder, thread, &block);
    free_unseen(builder, thread, event->block);
    int64_t change = (int64_t)event->size - (int64_t)block.size;
    block.address = event->block;
    block.size = event->size;
    add_call(builder, thread, step_of(builder, STEP_REALLOC, &block), change);
    return keep(builder, &block);
}

/* ---- Threads ------------------------------------------------------------- */

static void create_thread(struct builder *builder, uint32_t creator, uint32_t thread)
{
    struct plan *plan = builder->plan;
    builder->workers[thread].was_created = true;
    plan->threads[thread].is_used = true;
    add_step(builder, creator, (struct step){.kind = STEP_CREATE, .slot = thread});
    if (!builder->is_writing)
        return;
    plan->counts.created++;
    if (++builder->alive > plan->thread_most)
        plan->thread_most = builder->alive;
}

static bool plan_creation(struct builder *builder, uint32_t creator,
                          const struct trace_event *event)
{
    if (event->thread == 0 || event->thread == creator)
        return trace_fail(builder->error, "damaged: thread %u creates thread %u at order %llu",
                          creator, event->thread, (unsigned long long)event->order);
    if (!builder->workers[event->thread].was_created)
        create_thread(builder, creator, event->thread);
    return true;
}

static void plan_end(struct builder *builder, uint32_t number)
{
    struct worker *worker = &builder->workers[number];
    if (number == 0 || !builder->is_writing || worker->has_ended)
        return;
    worker->has_ended = true;
    if (builder->span_threads > 1 || worker->span != builder->span)
        begin_span(builder);
    enter_span(builder, number);
    builder->plan->threads[number].ends = true;
    builder->plan->counts.ended++;
    builder->alive--;
}

/* ---- The walk ------------------------------------------------------------ */

static bool plan_event(struct builder *builder, uint32_t thread, const struct trace_event *event,
                       bool begins)
{
    if (thread != 0 && !builder->workers[thread].was_created)
        create_thread(builder, builder->last_thread, thread); /* its creation went unseen */
    builder->last_thread = thread;
    builder->plan->counts.duration = event->time;
    switch (event->operation) {
    case TRACE_MALLOC:
        return plan_allocation(builder, thread, STEP_MALLOC, event);
    case TRACE_CALLOC:
        return plan_allocation(builder, thread, STEP_CALLOC, event);
    case TRACE_ALIGNED:
        return plan_allocation(builder, thread, STEP_ALIGNED, event);
    case TRACE_REALLOC:
        return begins ? plan_realloc_begin(builder, thread, event)
                      : plan_realloc(builder, thread, event);
    case TRACE_FREE:
        return plan_free_call(builder, thread, event->block);
    case TRACE_FREE_NULL:
        add_call(builder, thread, (struct step){.kind = STEP_FREE_NULL}, 0);
        return true;
    case TRACE_CREATE:
        return plan_creation(builder, thread, event);
    default:
        plan_end(builder, thread);
        return true;
    }
}

static void forget_walk(struct builder *builder)
{
    blocks_free(&builder->blocks);
    builder->block_count = builder->operations = builder->live = 0;
    builder->last_thread = 0;
    builder->alive = 1;
    for (uint32_t i = 0; i < builder->plan->thread_count; i++)
        if (builder->plan->threads[i].is_used || i == 0 || builder->trace->threads[i].events > 0)
            builder->workers[i] = (struct worker){.span = NO_SPAN, .free_slot = NO_SLOT};
}

static bool walk(struct builder *builder)
{
    struct merge merge;
    uint32_t thread;
    const struct trace_event *event;
    bool begins;
    int got = 1;
    forget_walk(builder);
    if (!merge_start(&merge, builder->trace, builder->error))
        return false;
    for (uint64_t events = 0; events < builder->event_most && got > 0; events += !begins) {
        got = merge_next(&merge, &thread, &event, &begins, builder->error);
        if (got > 0 && !plan_event(builder, thread, event, begins))
            got = -1;
    }
    merge_stop(&merge);
    return got >= 0;
}

/* ---- Building ------------------------------------------------------------ */

/* Memory of both walks; what builder holds is unmapped after them. */
static bool make_room(struct builder *builder)
{
    uint64_t events = builder->trace->end.order, threads = builder->trace->end.thread;
    struct plan *plan = builder->plan;
    if (events > UINT32_MAX / 4)
        return trace_fail(builder->error, "too long: %llu events", (unsigned long long)events);
    plan->thread_count = (uint32_t)threads;
    plan->threads = room(plan, threads * sizeof *plan->threads);
    builder->workers = trace_map(threads * sizeof *builder->workers);
    builder->shared = trace_map(events / 8 + 8);
    builder->next_slot = trace_map((2 * events + SLAB_LEAST * threads) * sizeof(uint32_t));
    builder->returned = trace_map(events * sizeof *builder->returned);
    return (plan->threads != NULL && builder->workers != NULL && builder->shared != NULL &&
            builder->next_slot != NULL && builder->returned != NULL) ||
           trace_fail(builder->error, "no memory to plan it");
}

static void free_builder(struct builder *builder)
{
    uint64_t events = builder->trace->end.order, threads = builder->trace->end.thread;
    blocks_free(&builder->blocks);
    trace_unmap(builder->workers, threads * sizeof *builder->workers);
    trace_unmap(builder->shared, events / 8 + 8);
    trace_unmap(builder->next_slot, (2 * events + SLAB_LEAST * threads) * sizeof(uint32_t));
    trace_unmap(builder->returned, events * sizeof *builder->returned);
}

/* Between the walks: every array of the plan, now that the counts are known.
 * Only what is used of them takes memory. */
static bool make_steps(struct builder *builder)
{
    struct plan *plan = builder->plan;
    uint64_t total = 0, spans = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        total += plan->threads[i].step_count;
    spans = total + plan->thread_count + 1;
    struct step *steps = room(plan, (2 * total + plan->thread_count) * sizeof *steps);
    plan->stride = builder->operations / plan->point_most + 1;
    plan->span_threads = room(plan, spans * sizeof *plan->span_threads);
    plan->span_ends = room(plan, spans * sizeof *plan->span_ends);
    plan->span_live = room(plan, spans * sizeof *plan->span_live);
    plan->point_live = room(plan, (plan->point_most + 1) * sizeof *plan->point_live);
    if (steps == NULL || plan->span_threads == NULL || plan->span_ends == NULL ||
        plan->span_live == NULL || plan->point_live == NULL)
        return trace_fail(builder->error, "no memory to plan it");
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        uint64_t count = plan->threads[i].step_count;
        plan->threads[i].steps = steps;
        plan->threads[i].step_count = 0;
        steps += 2 * count + 1; /* each may be the first of a span, and so may the end */
    }
    return true;
}

bool plan_build(struct plan *plan, const struct trace *trace, const struct plan_options *options,
                struct trace_error *error)
{
    *plan = (struct plan){.thread_most = 1, .point_most = options->points};
    struct builder builder = {
        .plan = plan,
        .trace = trace,
        .error = error,
        .event_most = (uint64_t)((unsigned __int128)trace->end.order * options->percent / 100),
        .drift = options->drift,
    };
    bool is_good = trace->end.order > 0 && trace->end.thread > 0 ? make_room(&builder)
                                                                 : trace_fail(error, "no events");
    is_good = is_good && walk(&builder) && make_steps(&builder);
    if (is_good) {
        builder.is_writing = true;
        is_good = walk(&builder);
    }
    if (is_good) {
        begin_span(&builder);
        plan->span_count = builder.span;
    }
    plan->counts.operations = builder.operations;
    plan->counts.live_bytes = builder.live;
    plan->counts.peak_bytes = builder.peak;
    free_builder(&builder);
    if (!is_good)
        plan_free(plan);
    return is_good;
}

void plan_free(struct plan *plan)
{
    for (unsigned i = 0; i < plan->room_count; i++)
        trace_unmap(plan->rooms[i].memory, plan->rooms[i].size);
    *plan = (struct plan){0};
}
