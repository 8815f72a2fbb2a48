/* test_operators.c - operator new and delete, called by their mangled names
 *
 * Instead of libstdc++ this program has its own new_handler and its own way of
 * throwing bad_alloc: a jump back into the test.  (The nothrow forms of new are
 * of the shared library alone; test/preload has them.)
 */
#include <errno.h>
#include <setjmp.h>

#include "../heap/heaps.h"
#include "os/map.h"

enum { BYTES = 100 };

typedef void handler_function(void);

/* What libstdc++ would bring. */
handler_function *_ZSt15get_new_handlerv(void);
void _ZSt17__throw_bad_allocv(void);

/* What is tested. */
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvRKSt9nothrow_t(void *block, const void *tag);
void _ZdaPvRKSt9nothrow_t(void *block, const void *tag);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvSt11align_val_t(void *block, size_t alignment);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag);

static handler_function *handler;
static jmp_buf thrown;
static int handler_calls;

handler_function *_ZSt15get_new_handlerv(void)
{
    return handler;
}

void _ZSt17__throw_bad_allocv(void)
{
    longjmp(thrown, 1);
}

/* A block the compiler must really allocate: it may leave out new with its
 * delete. */
static void *real(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static size_t allocated_bytes(void)
{
    struct tide_mallinfo2 info = tide_mallinfo2();

    return info.uordblks + info.hblkhd;
}

Test(operators, new_gives_a_block)
{
    for (size_t size = 0; size < 10000; size = size * 2 + 1) {
        void *single = real(_Znwm(size)), *array = real(_Znam(size));

        cr_assert(single && array && single != array);
        cr_assert(tide_owns(single) && tide_owns(array));
        cr_assert_geq(tide_usable_size(single), size);
        memset(single, 1, size);
        memset(array, 2, size);
        _ZdlPv(single);
        _ZdaPv(array);
    }
}

Test(operators, aligned_new_gives_an_aligned_block)
{
    for (size_t alignment = 1; alignment <= TIDE_ARENA_BYTES; alignment *= 4) {
        void *single = real(_ZnwmSt11align_val_t(BYTES, alignment));
        void *array = real(_ZnamSt11align_val_t(BYTES, alignment));

        cr_assert(single && is_aligned(single, alignment));
        cr_assert(array && is_aligned(array, alignment));
        memset(single, 1, BYTES);
        memset(array, 2, BYTES);
        _ZdlPvSt11align_val_t(single, alignment);
        _ZdaPvSt11align_val_t(array, alignment);
    }
}

Test(operators, every_form_of_delete_frees)
{
    size_t before = allocated_bytes();

    _ZdlPv(real(_Znwm(BYTES)));
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPv(real(_Znam(BYTES)));
    cr_assert_eq(allocated_bytes(), before);
    _ZdlPvm(real(_Znwm(BYTES)), BYTES);
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPvm(real(_Znam(BYTES)), BYTES);
    cr_assert_eq(allocated_bytes(), before);
    _ZdlPvRKSt9nothrow_t(real(_Znwm(BYTES)), NULL);
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPvRKSt9nothrow_t(real(_Znam(BYTES)), NULL);
    cr_assert_eq(allocated_bytes(), before);
    _ZdlPvSt11align_val_t(real(_ZnwmSt11align_val_t(BYTES, 64)), 64);
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPvSt11align_val_t(real(_ZnamSt11align_val_t(BYTES, 64)), 64);
    cr_assert_eq(allocated_bytes(), before);
    _ZdlPvmSt11align_val_t(real(_ZnwmSt11align_val_t(BYTES, 64)), BYTES, 64);
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPvmSt11align_val_t(real(_ZnamSt11align_val_t(BYTES, 64)), BYTES, 64);
    cr_assert_eq(allocated_bytes(), before);
    _ZdlPvSt11align_val_tRKSt9nothrow_t(real(_ZnwmSt11align_val_t(BYTES, 64)), 64, NULL);
    cr_assert_eq(allocated_bytes(), before);
    _ZdaPvSt11align_val_tRKSt9nothrow_t(real(_ZnamSt11align_val_t(BYTES, 64)), 64, NULL);
    cr_assert_eq(allocated_bytes(), before);
}

Test(operators, deleting_null_does_nothing)
{
    _ZdlPv(NULL);
    _ZdaPvm(NULL, BYTES);
    _ZdlPvSt11align_val_t(NULL, 64);
    _ZdaPvSt11align_val_tRKSt9nothrow_t(NULL, 64, NULL);
}

static void *block;

static void delete_it(void)
{
    _ZdlPv(block);
}

Test(operators, misuse_is_reported_as_deletes)
{
    block = real(_Znwm(BYTES));
    _ZdlPv(block);
    assert_aborted(run_apart(delete_it), "operator delete(%p): already free: a block of 112 bytes",
                   block);
}

/* ---- Failing ------------------------------------------------------------ */

static void *new_too_much(int form)
{
    size_t size = opaque(SIZE_MAX / 2 + 1);

    return form == 0   ? _Znwm(size)
           : form == 1 ? _Znam(size)
           : form == 2 ? _ZnwmSt11align_val_t(size, 64)
                       : _ZnamSt11align_val_t(size, 64);
}

Test(operators, without_a_handler_bad_alloc_is_thrown)
{
    for (volatile int form = 0; form < 4; form++)
        if (setjmp(thrown) == 0) {
            real(new_too_much(form));
            cr_assert_fail("form %d returned", form);
        }
}

/* Gives up at the third call, as a handler that takes itself away does. */
static void count_call(void)
{
    if (++handler_calls % 3 == 0)
        handler = NULL;
}

Test(operators, the_handler_is_called_until_there_is_none)
{
    for (volatile int form = 0; form < 4; form++) {
        handler = count_call;
        if (setjmp(thrown) == 0) {
            real(new_too_much(form));
            cr_assert_fail("form %d returned", form);
        }
        cr_assert_eq(handler_calls, 3 * (form + 1));
    }
}

static void make_room(void)
{
    handler_calls++;
    tide_os_fail_map_every(0);
}

Test(operators, when_the_handler_made_room_new_succeeds)
{
    handler = make_room;
    tide_os_fail_map_every(1);
    if (setjmp(thrown) != 0)
        cr_assert_fail("thrown");
    block = real(_Znwm(64 * TIDE_ARENA_BYTES));
    cr_assert(block);
    cr_assert_eq(handler_calls, 1);
    _ZdlPv(block);
    tide_os_fail_map_every(1);
    block = real(_ZnamSt11align_val_t(128 * TIDE_ARENA_BYTES, TIDE_ARENA_BYTES));
    cr_assert(block);
    cr_assert_eq(handler_calls, 2);
    _ZdaPv(block);
}
