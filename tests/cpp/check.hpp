/// What every test program is made of: checks that end it, caches of both kinds, an L2 that goes away, waiting.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "tokencache.hpp"

using namespace std::chrono_literals;

/// The program itself; it has passed when this returns.
void run();

#define CHECK(...) ((__VA_ARGS__) ? (void)0 : not_so(__FILE__, __LINE__, #__VA_ARGS__))
/// Waits for what other threads bring about.
#define UNTIL(...)                                                                     \
  for (const auto until_ = std::chrono::steady_clock::now() + 40s; !(__VA_ARGS__);     \
       std::this_thread::sleep_for(1ms)) {                                             \
    CHECK(std::chrono::steady_clock::now() < until_);                                  \
  }
/// That it throws an error of this status, with a sentence.
#define FAILS(status, ...) fails(__FILE__, __LINE__, #__VA_ARGS__, status, [&] { (void)(__VA_ARGS__); })

[[noreturn]] void not_so(const char* file, int line, const char* what);
void fails(const char* file, int line, const char* what, tc_status expected, const std::function<void()>& call);

/// `number`, or a part of it where every instruction costs fifty.
int often(int number);

/// Deadlines that no slow machine misses, and no circuit.
inline const std::string patient = R"(, "resilience": {"deadline_ms": 60000, "close_ms": 60000, "circuit_failures": 0})";

/// With an L2 where the program was asked to have one. `members` follow the others, from the comma on.
tokencache::cache open_cache(const std::string& members = patient);
std::string document(const std::string& members = patient);
bool has_l2();
void l2_goes_away();
void l2_comes_back();

/// Counts the copies of itself that live, for captures.
class witness {
 public:
  witness() { alive++; }
  witness(const witness&) { alive++; }
  ~witness() {
    CHECK(alive > 0);
    alive--;
  }
  witness& operator=(const witness&) = default;
  static inline std::atomic<int> alive{0};
};

#endif
