/// The application's say when L2 fails, its ear for the log, and exceptions that leave them.
#include <stdexcept>

#include "check.hpp"

using tokencache::cache;
using tokencache::decision;
using tokencache::failure;

static const std::string few =
    R"(, "resilience": {"deadline_ms": 60000, "max_attempts": 4, "backoff_ms": 1, "max_backoff_ms": 1,
                        "circuit_failures": 0})";

static std::atomic<int> told_of_retry, told_of_log, told_of_completion;

static void told(const char* callback, std::exception_ptr exception) noexcept {
  const std::string_view which = callback;
  try {
    std::rethrow_exception(exception);
  } catch (const std::runtime_error& error) {
    CHECK(std::string_view(error.what()) == "thrown");
  } catch (int number) {
    CHECK(number == 7);
  }
  (which == "retry" ? told_of_retry : which == "log" ? told_of_log : told_of_completion)++;
}

/// How often it is asked about one read while L2 is away.
template <class Decide>
static int asked(cache& cache, Decide decide) {
  std::atomic<int> calls{0};
  cache.on_retry([&calls, decide, seen = witness()](const failure& failed) {
    CHECK(failed.operation == TC_OPERATION_GET && failed.status == TC_L2_UNREACHABLE && failed.key == "alice");
    CHECK(failed.attempt == static_cast<unsigned>(++calls) && failed.max_attempts == 4);
    CHECK(failed.remaining > 0ms && failed.elapsed + failed.remaining <= 60s && failed.backoff <= 1ms);
    CHECK(!failed.message.empty());
    return decide(failed);
  });
  CHECK(witness::alive == 1);
  FAILS(TC_L2_UNREACHABLE, cache.get("alice"));
  cache.on_retry(nullptr);
  UNTIL(witness::alive == 0);
  return calls;
}

static void the_say_of_the_application(cache& cache) {
  l2_goes_away();
  CHECK(asked(cache, [](const failure&) { return decision::retry(0ms); }) == 4);
  CHECK(asked(cache, [](const failure&) { return decision::retry(-5s); }) == 4);
  CHECK(asked(cache, [](const failure&) { return decision::retry(); }) == 4);
  CHECK(asked(cache, [](const failure&) { return decision::give_up(); }) == 1);
  CHECK(asked(cache, [](const failure&) { return decision{}; }) == 4);
  l2_comes_back();
}

static void the_pause_of_the_application() {
  cache cache = open_cache(R"(, "resilience": {"deadline_ms": 60000, "max_attempts": 10, "backoff_ms": 60000,
                                               "max_backoff_ms": 60000, "circuit_failures": 0})");
  int last = 0;
  cache.on_retry([&last](const failure& failed) {
    last = static_cast<int>(failed.attempt);
    return decision::retry(0ms);
  });
  l2_goes_away();
  // With the configured pauses the deadline would end it long before.
  FAILS(TC_L2_UNREACHABLE, cache.get("alice"));
  CHECK(last == 10);
  l2_comes_back();
}

static void a_callback_that_repairs(cache& cache) {
  cache.set("alice", "token");
  cache.clear();
  l2_goes_away();
  cache.on_retry([&cache](const failure& failed) {
    FAILS(TC_L2_UNREACHABLE, cache.get("other"));
    if (failed.attempt == 2) l2_comes_back();
    return decision::retry(0ms);
  });
  CHECK(cache.get("alice")->view() == "token");
  cache.on_retry(nullptr);
}

static void retry_callbacks_that_throw(cache& cache) {
  cache.remove("alice");
  l2_goes_away();
  told_of_retry = 0;
  // The configuration decides: four attempts, as without a callback.
  CHECK(asked(cache, [](const failure&) -> decision { throw std::runtime_error("thrown"); }) == 4);
  CHECK(asked(cache, [](const failure&) -> decision { throw 7; }) == 4);
  CHECK(told_of_retry == 8);
  // One that throws once is asked again.
  CHECK(asked(cache, [](const failure& failed) {
          return failed.attempt == 1 ? throw std::runtime_error("thrown") : decision::give_up();
        }) == 2);
  CHECK(told_of_retry == 9);
  l2_comes_back();
  CHECK(!cache.get("alice"));
  cache.set("alice", "token");
  CHECK(cache.get("alice")->view() == "token");
}

static void log_callbacks_that_throw(cache& cache) {
  std::atomic<int> records{0};
  told_of_log = 0;
  cache.on_log(TC_LEVEL_DEBUG, [&records, seen = witness()](tc_level level, std::string_view target,
                                                            std::string_view message) {
    CHECK(level >= TC_LEVEL_ERROR && level <= TC_LEVEL_DEBUG && !target.empty() && !message.empty());
    records++;
    throw std::runtime_error("thrown");
  });
  l2_goes_away();
  for (int i = 0; i < 3; i++) FAILS(TC_L2_UNREACHABLE, cache.get("nobody"));
  UNTIL(records >= 3 && told_of_log == records);
  l2_comes_back();
  CHECK(!cache.get("nobody"));
  cache.on_log(nullptr);
  UNTIL(witness::alive == 0);
}

static void completions_that_throw(cache& cache) {
  const int count = often(100);
  std::atomic<int> calls{0};
  told_of_completion = 0;
  for (int i = 0; i < count; i++) {
    auto done = [&calls, seen = witness()](const tokencache::result&) {
      calls++;
      throw 7;
    };
    if (i % 2 == 0) cache.get_async("alice", done);
    else cache.set_async("alice", "token", {}, done);
  }
  UNTIL(told_of_completion == count && witness::alive == 0);
  CHECK(calls == count && cache.flush(1min) == TC_OK);
  cache.set("alice", "token");
  CHECK(cache.get("alice")->view() == "token");
}

/// Nobody asked to be told: the line goes to standard error, and nothing else is different.
static void nobody_is_told(cache& cache) {
  CHECK(tokencache::on_callback_error(nullptr) == told);
  std::atomic<bool> was_called{false};
  cache.get_async("alice", [&was_called, seen = witness()](const tokencache::result&) {
    was_called = true;
    throw std::runtime_error("thrown");
  });
  UNTIL(was_called && witness::alive == 0);
  CHECK(tokencache::on_callback_error(told) != nullptr);
}

static void destroyed_once() {
  {
    cache cache = open_cache(few);
    cache.on_retry([seen = witness()](const failure&) { return decision{}; });
    cache.on_retry([seen = witness()](const failure&) { return decision{}; });
    UNTIL(witness::alive == 1);
    cache.on_log(TC_LEVEL_DEBUG, [seen = witness()](auto&&...) {});
    FAILS(TC_INVALID_ARGUMENT, cache.on_log(0, [seen = witness()](auto&&...) {}));
    CHECK(witness::alive == 2);
    // The callbacks go with the handle.
    auto moved = std::move(cache);
    moved.set("alice", "token");
    CHECK(witness::alive == 2);
  }
  UNTIL(witness::alive == 0);
}

void run() {
  tokencache::on_callback_error(told);
  cache cache = open_cache(few);
  if (has_l2()) {
    the_say_of_the_application(cache);
    the_pause_of_the_application();
    a_callback_that_repairs(cache);
    retry_callbacks_that_throw(cache);
    log_callbacks_that_throw(cache);
  }
  completions_that_throw(cache);
  nobody_is_told(cache);
  destroyed_once();
}
