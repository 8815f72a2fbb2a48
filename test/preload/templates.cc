// Work for a C++ compiler: deep template recursion, many instantiations, much of the standard library.
// The program prints answers that are known (compile.sh).
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <unsigned long long N> struct fibonacci {
	static constexpr unsigned long long value = fibonacci<N - 1>::value + fibonacci<N - 2>::value;
};
template <> struct fibonacci<0> { static constexpr unsigned long long value = 0; };
template <> struct fibonacci<1> { static constexpr unsigned long long value = 1; };

template <int N> struct tagged {
	std::map<std::string, std::vector<std::shared_ptr<std::pair<int, std::string>>>> table;
	std::variant<int, std::string, std::deque<std::array<char, N % 50 + 1>>> either;
	int fill(int count)
	{
		for (int i = 0; i < count; i++)
			table["key" + std::to_string(i * N % 97)].push_back(std::make_shared<std::pair<int, std::string>>(i, std::string(N, 'x')));
		either = std::deque<std::array<char, N % 50 + 1>>(10);
		std::list<std::function<int(int)>> functions;
		for (int i = 0; i < 10; i++)
			functions.push_back([i, this](int j) { return i * j + int(table.size()); });
		return std::accumulate(functions.begin(), functions.end(), 0, [](int sum, auto &f) { return sum + f(1); });
	}
};

template <int... Ns> int fill_all(std::integer_sequence<int, Ns...>) { return (tagged<Ns + 1>().fill(50) + ...); }

int main()
{
	std::cout << "fibonacci " << fibonacci<50>::value << '\n';
	std::set<int> primes;
	for (int i = 2; i < 10000; i++)
		if (std::none_of(primes.begin(), primes.upper_bound(100), [i](int p) { return p * p <= i && i % p == 0; }))
			primes.insert(i);
	std::cout << "primes " << primes.size() << '\n';
	std::unordered_map<std::string, std::tuple<int, std::unique_ptr<std::string>>> words;
	for (int i = 0; i < 2000; i++) {
		std::ostringstream word;
		word << 'w' << 1998000 + i;
		words[word.str()] = {i, std::make_unique<std::string>(word.str())};
	}
	auto longest = std::max_element(words.begin(), words.end(), [](auto &a, auto &b) { return *std::get<1>(a.second) < *std::get<1>(b.second); });
	std::cout << "words " << words.size() << " longest " << longest->first << '\n';
	std::vector<std::string> lines(20000);
	std::generate(lines.begin(), lines.end(), [n = 1u]() mutable { n = n * 1103515245 + 12345; return std::to_string(n); });
	std::stable_sort(lines.begin(), lines.end());
	std::cout << "sorted " << std::is_sorted(lines.begin(), lines.end()) << '\n';
	const std::regex pattern("([a-z]+)-(\\d{3})5");
	int matches = 0;
	for (int i = 0; i < 5000; i++)
		matches += std::regex_match("abc-" + std::to_string(1000 + i), pattern);
	std::cout << "matches " << matches << '\n';
	std::vector<std::future<long>> futures;
	for (long part = 0; part < 5; part++)
		futures.push_back(std::async(std::launch::async, [part] {
			std::deque<std::string> numbers;
			for (long i = part * 10000; i < part * 10000 + 10000; i++)
				numbers.push_back(std::to_string(i));
			return std::accumulate(numbers.begin(), numbers.end(), 0L, [](long sum, auto &s) { return sum + std::stol(s); });
		}));
	long sum = 0;
	for (auto &f : futures)
		sum += f.get();
	std::cout << "parallel " << sum << std::endl;
	return fill_all(std::make_integer_sequence<int, 10>()) == 0;
}
