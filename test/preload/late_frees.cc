// Frees that come late, when the allocator's own per-thread clean-up may already have run: thread_local
// destructors, pthread key destructors (keys made before the thread's first malloc and after, more than the 32 that
// need no second-level table, values set again for every round of destructors), atexit handlers and static
// destructors. Each allocates too. Blocks carry a pattern, checked when freed. usage: late_frees; prints "ok".
#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <string>
#include <vector>

namespace {
const int early_keys = 20, late_keys = 40, threads = 8, rounds = 8;
const size_t sizes[] = {16, 100, 1000, 5000, 40000, 300000, 3000000};

struct block { size_t bytes; unsigned char fill[1]; };
std::atomic<long> alive{0}, destroyed{0};

[[noreturn]] void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	abort();
}

block *make(unsigned number)
{
	size_t bytes = sizes[number % (sizeof sizes / sizeof *sizes)] + sizeof(block);
	block *b = static_cast<block *>(malloc(bytes));
	if (!b)
		die("no memory");
	b->bytes = bytes;
	memset(b->fill, int(bytes & 127), bytes - sizeof(size_t) - 1);
	alive++;
	return b;
}

void end(block *b)
{
	if (b->fill[0] != (b->bytes & 127) || b->fill[b->bytes - sizeof(size_t) - 2] != (b->bytes & 127))
		die("a block was changed by someone else");
	alive--;
	free(b);
}

// a little of everything, as a destructor would do
void churn(unsigned number)
{
	end(make(number));
	std::string text(number % 500, 'x');
	std::vector<std::string> many(number % 20, text);
	void *zeroed = calloc(7, 100 + number), *grown = realloc(malloc(30), 3000 + number);
	free(zeroed);
	free(grown);
}

struct late_object {
	block *held = make(5);
	std::vector<std::string> texts = std::vector<std::string>(50, std::string(100, 't'));
	void touch() { texts.push_back("one more, long enough to be allocated"); }
	~late_object()
	{
		churn(unsigned(texts.size()));
		end(held);
		destroyed++;
	}
};

struct key_value { block *held; int rounds_left; pthread_key_t key; };
pthread_key_t keys[early_keys + late_keys];


void key_destructor(void *argument)
{
	key_value *value = static_cast<key_value *>(argument);
	churn(unsigned(value->rounds_left) * 37);
	end(value->held);
	if (--value->rounds_left > 0) { // once more: the next round comes after every other key's destructor
		value->held = make(unsigned(value->rounds_left) + unsigned(value->key));
		pthread_setspecific(value->key, value);
		return;
	}
	free(value);
	destroyed++;
}

void create_keys(int from, int to)
{
	for (int i = from; i < to; i++)
		if (pthread_key_create(&keys[i], key_destructor))
			die("pthread_key_create");
}

void set_key(int i)
{
	key_value *value = static_cast<key_value *>(malloc(sizeof *value));
	*value = {make(unsigned(i)), PTHREAD_DESTRUCTOR_ITERATIONS - i % 2, keys[i]};
	if (pthread_setspecific(value->key, value))
		die("pthread_setspecific");
}

thread_local late_object before_use;
block *handed_over[threads];

void *work(void *argument)
{
	const unsigned number = unsigned(reinterpret_cast<uintptr_t>(argument));
	before_use.touch(); // constructed first, so destroyed last
	thread_local late_object after_use;
	for (unsigned i = 0; i < 150; i++)
		churn(i + number);
	after_use.touch();
	for (int i = 0; i < early_keys + late_keys; i++)
		set_key(i);
	end(handed_over[number]); // made by the main thread
	handed_over[number] = make(number + 3);
	return nullptr;
}

// a thread whose very first use of malloc is in a destructor
void *idle(void *argument)
{
	if (pthread_setspecific(keys[1], argument))
		die("pthread_setspecific");
	return nullptr;
}

block *until_exit;
void at_exit()
{
	churn(9);
	end(until_exit);
	if (alive != 2) { // the main thread's before_use was destroyed; left are those of the two static objects
		fprintf(stderr, "%ld blocks alive at exit\n", alive.load());
		_Exit(1);
	}
	puts("ok");
	fflush(stdout);
}

// constructed before the keys exist, destroyed after every atexit handler
struct static_object : late_object {} first_static, second_static;
__attribute__((constructor(101))) void keys_before_most() { create_keys(0, early_keys); }
} // namespace

int main()
{
	until_exit = make(2);
	atexit(at_exit);
	churn(1);
	create_keys(early_keys, early_keys + late_keys);
	for (int round = 0; round < rounds; round++) {
		pthread_t thread[threads], idle_thread;
		for (uintptr_t i = 0; i < threads; i++) {
			handed_over[i] = make(unsigned(i));
			if (pthread_create(&thread[i], nullptr, work, reinterpret_cast<void *>(i)))
				die("pthread_create");
		}
		key_value *value = static_cast<key_value *>(malloc(sizeof *value));
		*value = {make(4), 2, keys[1]};
		pthread_create(&idle_thread, nullptr, idle, value);
		for (pthread_t t : thread)
			pthread_join(t, nullptr);
		pthread_join(idle_thread, nullptr);
		for (block *b : handed_over)
			end(b); // made by threads that have ended
	}
	if (destroyed != rounds * (threads * (2 + early_keys + late_keys) + 1))
		die("not every destructor ran");
	before_use.touch();
	return 0;
}
