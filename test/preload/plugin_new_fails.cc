// A plugin that is alone in using libstdc++: what new does when memory runs out must reach the libstdc++ that came
// with the plugin, though nobody else sees it. try_new answers 0, or the number of the line that found a fault.
#include <cstddef>
#include <new>

namespace {
// volatile: the compiler must neither know the size nor drop an unused block
volatile std::size_t huge = std::size_t(1) << 60;
const std::align_val_t alignment{256};
int handler_calls;

void handler_gives_up_at_third_call()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

struct own_exception {};
void handler_throws() { throw own_exception(); }

template <class Exception, class Function> bool throws(Function function)
{
	try {
		void *volatile p = function();
		(void)p;
	} catch (const Exception &) {
		return true;
	}
	return false;
}

template <class Function> int try_throwing(Function function)
{
	if (!throws<std::bad_alloc>(function))
		return __LINE__;
	handler_calls = 0;
	std::set_new_handler(handler_gives_up_at_third_call);
	if (!throws<std::bad_alloc>(function) || handler_calls != 3)
		return __LINE__;
	std::set_new_handler(handler_throws);
	if (!throws<own_exception>(function))
		return __LINE__;
	std::set_new_handler(nullptr);
	return 0;
}

template <class Function> int try_nothrow(Function function)
{
	if (function() != nullptr)
		return __LINE__;
	handler_calls = 0;
	std::set_new_handler(handler_gives_up_at_third_call);
	if (function() != nullptr || handler_calls != 3)
		return __LINE__;
	return 0;
}
} // namespace

extern "C" int try_new()
{
	int line;
	if ((line = try_throwing([] { return static_cast<void *>(new char[huge]); })) != 0 ||
	    (line = try_throwing([] { return ::operator new(huge); })) != 0 ||
	    (line = try_throwing([] { return ::operator new(huge, alignment); })) != 0 ||
	    (line = try_throwing([] { return ::operator new[](huge, alignment); })) != 0 ||
	    (line = try_nothrow([] { return ::operator new(huge, std::nothrow); })) != 0 ||
	    (line = try_nothrow([] { return ::operator new[](huge, std::nothrow); })) != 0 ||
	    (line = try_nothrow([] { return ::operator new(huge, alignment, std::nothrow); })) != 0 ||
	    (line = try_nothrow([] { return ::operator new[](huge, alignment, std::nothrow); })) != 0)
		return line;
	delete new int(1);
	return 0;
}
