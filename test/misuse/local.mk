# Misuse: tiny programs that each do one wrong thing; run.sh runs them and
# compares the message on stderr (each program's first line says which) and the
# way they end.  To add one: a file, its name in misuse_programs, and the two
# lines below.
misuse_programs = \
	test/misuse/double_free \
	test/misuse/double_free_8_bytes \
	test/misuse/double_free_by_thread \
	test/misuse/double_free_joined \
	test/misuse/double_free_large \
	test/misuse/double_free_larger \
	test/misuse/double_free_later \
	test/misuse/double_free_moved \
	test/misuse/double_free_remote \
	test/misuse/double_free_sized \
	test/misuse/double_free_threads \
	test/misuse/free_aligned_sized_wrong \
	test/misuse/free_arena_header \
	test/misuse/free_beyond_large \
	test/misuse/free_interior_aligned \
	test/misuse/free_interior_large \
	test/misuse/free_interior_larger \
	test/misuse/free_interior_small \
	test/misuse/free_kernel_address \
	test/misuse/free_misaligned \
	test/misuse/free_never_allocated \
	test/misuse/free_non_canonical \
	test/misuse/free_null_page \
	test/misuse/free_null_page_odd \
	test/misuse/free_sized_foreign \
	test/misuse/free_sized_wrong \
	test/misuse/free_stack \
	test/misuse/free_static \
	test/misuse/free_unused_slot \
	test/misuse/no_misuse \
	test/misuse/realloc_foreign \
	test/misuse/realloc_freed \
	test/misuse/realloc_freed_large \
	test/misuse/realloc_interior \
	test/misuse/usable_size_foreign \
	test/misuse/usable_size_freed \
	test/misuse/write_after_free \
	test/misuse/write_after_free_static

test_misuse_double_free_SOURCES = test/misuse/double_free.c
test_misuse_double_free_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_8_bytes_SOURCES = test/misuse/double_free_8_bytes.c
test_misuse_double_free_8_bytes_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_by_thread_SOURCES = test/misuse/double_free_by_thread.c
test_misuse_double_free_by_thread_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_joined_SOURCES = test/misuse/double_free_joined.c
test_misuse_double_free_joined_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_large_SOURCES = test/misuse/double_free_large.c
test_misuse_double_free_large_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_larger_SOURCES = test/misuse/double_free_larger.c
test_misuse_double_free_larger_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_later_SOURCES = test/misuse/double_free_later.c
test_misuse_double_free_later_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_moved_SOURCES = test/misuse/double_free_moved.c
test_misuse_double_free_moved_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_remote_SOURCES = test/misuse/double_free_remote.c
test_misuse_double_free_remote_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_sized_SOURCES = test/misuse/double_free_sized.c
test_misuse_double_free_sized_LDADD = $(TIDE_CORE_LIBS)
test_misuse_double_free_threads_SOURCES = test/misuse/double_free_threads.c
test_misuse_double_free_threads_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_aligned_sized_wrong_SOURCES = test/misuse/free_aligned_sized_wrong.c
test_misuse_free_aligned_sized_wrong_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_arena_header_SOURCES = test/misuse/free_arena_header.c
test_misuse_free_arena_header_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_beyond_large_SOURCES = test/misuse/free_beyond_large.c
test_misuse_free_beyond_large_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_interior_aligned_SOURCES = test/misuse/free_interior_aligned.c
test_misuse_free_interior_aligned_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_interior_large_SOURCES = test/misuse/free_interior_large.c
test_misuse_free_interior_large_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_interior_larger_SOURCES = test/misuse/free_interior_larger.c
test_misuse_free_interior_larger_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_interior_small_SOURCES = test/misuse/free_interior_small.c
test_misuse_free_interior_small_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_kernel_address_SOURCES = test/misuse/free_kernel_address.c
test_misuse_free_kernel_address_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_misaligned_SOURCES = test/misuse/free_misaligned.c
test_misuse_free_misaligned_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_never_allocated_SOURCES = test/misuse/free_never_allocated.c
test_misuse_free_never_allocated_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_non_canonical_SOURCES = test/misuse/free_non_canonical.c
test_misuse_free_non_canonical_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_null_page_SOURCES = test/misuse/free_null_page.c
test_misuse_free_null_page_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_null_page_odd_SOURCES = test/misuse/free_null_page_odd.c
test_misuse_free_null_page_odd_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_sized_foreign_SOURCES = test/misuse/free_sized_foreign.c
test_misuse_free_sized_foreign_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_sized_wrong_SOURCES = test/misuse/free_sized_wrong.c
test_misuse_free_sized_wrong_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_stack_SOURCES = test/misuse/free_stack.c
test_misuse_free_stack_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_static_SOURCES = test/misuse/free_static.c
test_misuse_free_static_LDADD = $(TIDE_CORE_LIBS)
test_misuse_free_unused_slot_SOURCES = test/misuse/free_unused_slot.c
test_misuse_free_unused_slot_LDADD = $(TIDE_CORE_LIBS)
test_misuse_no_misuse_SOURCES = test/misuse/no_misuse.c
test_misuse_no_misuse_LDADD = $(TIDE_CORE_LIBS)
test_misuse_realloc_foreign_SOURCES = test/misuse/realloc_foreign.c
test_misuse_realloc_foreign_LDADD = $(TIDE_CORE_LIBS)
test_misuse_realloc_freed_SOURCES = test/misuse/realloc_freed.c
test_misuse_realloc_freed_LDADD = $(TIDE_CORE_LIBS)
test_misuse_realloc_freed_large_SOURCES = test/misuse/realloc_freed_large.c
test_misuse_realloc_freed_large_LDADD = $(TIDE_CORE_LIBS)
test_misuse_realloc_interior_SOURCES = test/misuse/realloc_interior.c
test_misuse_realloc_interior_LDADD = $(TIDE_CORE_LIBS)
test_misuse_usable_size_foreign_SOURCES = test/misuse/usable_size_foreign.c
test_misuse_usable_size_foreign_LDADD = $(TIDE_CORE_LIBS)
test_misuse_usable_size_freed_SOURCES = test/misuse/usable_size_freed.c
test_misuse_usable_size_freed_LDADD = $(TIDE_CORE_LIBS)
test_misuse_write_after_free_SOURCES = test/misuse/write_after_free.c
test_misuse_write_after_free_LDADD = $(TIDE_CORE_LIBS)
test_misuse_write_after_free_static_SOURCES = test/misuse/write_after_free_static.c
test_misuse_write_after_free_static_LDADD = $(TIDE_CORE_LIBS)

misuse_scripts = test/misuse/run.sh test/misuse/test_settings.sh

check_PROGRAMS += $(misuse_programs)
dist_check_SCRIPTS += $(misuse_scripts)
TESTS += $(misuse_scripts)
