// operator new when memory runs out, as the C++ standard has it: throws std::bad_alloc, calls the new handler
// until it gives up or memory appears, nothrow forms answer nullptr even when a handler throws; array,
// aligned, sized and huge forms. usage: new_fails; prints "ok".
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <stdexcept>
#include <sys/resource.h>
#include <thread>
#include <vector>

#define CHECK(true_fact) \
	do { \
		if (!(true_fact)) { \
			printf("line %d: not true: %s\n", __LINE__, #true_fact); \
			exit(1); \
		} \
	} while (0)

namespace {
// volatile: the compiler must neither know a size nor drop a pair of new and delete
volatile size_t huge = SIZE_MAX / 2;
const size_t huge_sizes[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 2 - (1 << 22), size_t(1) << 60};
const std::align_val_t alignments[] = {std::align_val_t(1), std::align_val_t(64), std::align_val_t(4096), std::align_val_t(1 << 20)};
const size_t MiB = 1 << 20;

int handler_calls;
void *reserve;
rlimit former_limit;

void handler_gives_up() { handler_calls++; throw std::bad_alloc(); }
struct own_exception : std::bad_alloc {};
void handler_throws_derived() { handler_calls++; throw own_exception(); }
void handler_removes_itself_at_third_call() { if (++handler_calls == 3) std::set_new_handler(nullptr); }
void handler_frees_reserve() { handler_calls++; free(reserve); reserve = nullptr; std::set_new_handler(nullptr); }
void handler_lifts_limit() { if (++handler_calls == 2) setrlimit(RLIMIT_AS, &former_limit); }
// a handler may itself allocate
void handler_allocates() { handler_calls++; delete[] new char[1000]; std::set_new_handler(nullptr); }

template <class Function> bool throws_bad_alloc(Function function)
{
	try {
		void *volatile p = function();
		(void)p;
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

void huge_sizes_fail()
{
	for (size_t size : huge_sizes) {
		volatile size_t n = size;
		CHECK(throws_bad_alloc([&] { return ::operator new(n); }));
		CHECK(throws_bad_alloc([&] { return ::operator new[](n); }));
		CHECK(::operator new(n, std::nothrow) == nullptr);
		CHECK(::operator new[](n, std::nothrow) == nullptr);
		CHECK(malloc(n) == nullptr);
		for (std::align_val_t a : alignments) {
			CHECK(throws_bad_alloc([&] { return ::operator new(n, a); }));
			CHECK(throws_bad_alloc([&] { return ::operator new[](n, a); }));
			CHECK(::operator new(n, a, std::nothrow) == nullptr);
			CHECK(::operator new[](n, a, std::nothrow) == nullptr);
		}
	}
	CHECK(throws_bad_alloc([&] { return new double[huge]; }));
	try {
		std::vector<double> v;
		v.reserve(huge / 16);
		CHECK(!"a vector of SIZE_MAX/32 doubles");
	} catch (const std::bad_alloc &) {
	} catch (const std::length_error &) {
	}
}

void handlers_run()
{
	for (auto handler : {handler_gives_up, handler_throws_derived, handler_removes_itself_at_third_call, handler_allocates}) {
		const int calls = handler == handler_removes_itself_at_third_call ? 3 : 1;
		auto counted = [&](auto function, bool expected) {
			std::set_new_handler(handler);
			handler_calls = 0;
			CHECK(function() == expected);
			CHECK(handler_calls == calls);
		};
		counted([] { return throws_bad_alloc([] { return ::operator new(huge); }); }, true);
		counted([] { return throws_bad_alloc([] { return ::operator new[](huge); }); }, true);
		counted([] { return throws_bad_alloc([] { return ::operator new(huge, std::align_val_t(256)); }); }, true);
		counted([] { return ::operator new(huge, std::nothrow) == nullptr; }, true);
		counted([] { return ::operator new[](huge, std::nothrow) == nullptr; }, true);
		counted([] { return ::operator new(huge, std::align_val_t(256), std::nothrow) == nullptr; }, true);
		counted([] { return ::operator new[](huge, std::align_val_t(256), std::nothrow) == nullptr; }, true);
	}
	std::set_new_handler(handler_throws_derived);
	try {
		void *volatile p = ::operator new(huge);
		(void)p;
		CHECK(!"memory of SIZE_MAX/2");
	} catch (const own_exception &) { // the handler's own exception gets through
	}
	std::set_new_handler(nullptr);
}

size_t address_space_bytes()
{
	long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");
	CHECK(statm && fscanf(statm, "%ld", &pages) == 1);
	fclose(statm);
	return size_t(pages) * 4096;
}

void limit_address_space(size_t more_bytes)
{
	getrlimit(RLIMIT_AS, &former_limit);
	rlimit limit = former_limit;
	limit.rlim_cur = address_space_bytes() + more_bytes;
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

// Small blocks until nothing is left; all of them must still be whole, and freeing them must help. Before larger ones
// leave free address space.
void small_blocks_run_out()
{
	limit_address_space(64 * MiB);
	std::set_new_handler(nullptr);
	struct node { node *next; unsigned char fill[1000]; };
	node *list = nullptr;
	size_t count = 0;
	while (node *n = new (std::nothrow) node) {
		memset(n->fill, int(count & 255), sizeof n->fill);
		n->next = list;
		list = n;
		count++;
	}
	CHECK(count > 20000 && count < 200000);
	CHECK(throws_bad_alloc([] { return ::operator new(8 * MiB); }));
	while (list) {
		node *n = list;
		count--;
		CHECK(n->fill[0] == (count & 255) && n->fill[999] == (count & 255));
		list = n->next;
		delete n;
	}
	delete[] new char[MiB];
	CHECK(setrlimit(RLIMIT_AS, &former_limit) == 0);
}

// Memory is really short: a handler that frees some, or lifts the limit, makes new succeed.
void handlers_help()
{
	limit_address_space(1024 * MiB);
	reserve = malloc(768 * MiB);
	CHECK(reserve);
	CHECK(::operator new(700 * MiB, std::nothrow) == nullptr);
	handler_calls = 0;
	std::set_new_handler(handler_frees_reserve);
	char *p = static_cast<char *>(::operator new(700 * MiB));
	CHECK(p && handler_calls == 1 && !reserve);
	p[0] = p[700 * MiB - 1] = 1;
	::operator delete(p);
	setrlimit(RLIMIT_AS, &former_limit);

	limit_address_space(64 * MiB);
	for (bool nothrow : {false, true}) {
		handler_calls = 0;
		std::set_new_handler(handler_lifts_limit);
		// each time more than before, as what was freed is used again
		p = static_cast<char *>(nothrow ? ::operator new(3072 * MiB, std::nothrow) : ::operator new(2048 * MiB));
		CHECK(p && handler_calls == 2);
		::operator delete(p);
		std::set_new_handler(nullptr);
		limit_address_space(64 * MiB);
	}
	setrlimit(RLIMIT_AS, &former_limit);
}

struct alignas(512) wide { unsigned char bytes[1536]; };

void forms_match()
{
	std::set<void *> distinct;
	for (int i = 0; i < 1000; i++)
		distinct.insert(::operator new(0));
	CHECK(distinct.size() == 1000 && !distinct.count(nullptr));
	for (void *p : distinct)
		::operator delete(p);
	for (size_t size : {size_t(1), size_t(24), size_t(1000), size_t(40000), 3 * MiB, 9 * MiB}) {
		volatile size_t n = size;
		memset(::operator new(n), 1, n);
		void *p = ::operator new(n);
		memset(p, 1, n);
		::operator delete(p, size_t(n));
		::operator delete[](::operator new[](n), size_t(n));
		::operator delete(::operator new(n, std::nothrow), std::nothrow);
		::operator delete[](::operator new[](n, std::nothrow), std::nothrow);
		for (std::align_val_t a : alignments) {
			void *q[] = {::operator new(n, a), ::operator new[](n, a), ::operator new(n, a, std::nothrow), ::operator new[](n, a, std::nothrow)};
			for (void *each : q) {
				CHECK(each && reinterpret_cast<uintptr_t>(each) % size_t(a) == 0);
				memset(each, 2, n);
			}
			::operator delete(q[0], size_t(n), a);
			::operator delete[](q[1], size_t(n), a);
			::operator delete(q[2], a, std::nothrow);
			::operator delete[](q[3], a);
		}
	}
	::operator delete(nullptr);
	::operator delete[](nullptr, std::align_val_t(64));
	wide *w = new wide[20];
	CHECK(reinterpret_cast<uintptr_t>(w) % 512 == 0);
	delete[] w;
}
} // namespace

int main()
{
	forms_match();
	huge_sizes_fail();
	handlers_run();
	small_blocks_run_out();
	handlers_help();
	// the same in threads, two at a time would share the handler: one after the other
	for (int i = 0; i < 3; i++)
		std::thread([] { forms_match(); huge_sizes_fail(); handlers_run(); }).join();
	forms_match();
	puts("ok");
}
