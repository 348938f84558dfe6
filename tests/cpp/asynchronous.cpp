/// Calls that answer by a callback: exactly once, on another thread, never inside the call.
#include <future>
#include <memory>

#include "check.hpp"

using tokencache::cache;
using tokencache::result;

/// Waits for the completion that `start` is given, which no copy can be made of.
template <class Start>
static result answer(Start start) {
  std::promise<result> promise;
  auto future = promise.get_future();
  const auto caller = std::this_thread::get_id();
  start([promise = std::move(promise), caller, seen = witness()](result got) mutable {
    CHECK(std::this_thread::get_id() != caller);
    got.message = got.message.empty() ? "" : "failed";
    promise.set_value(std::move(got));
  });
  CHECK(future.wait_for(40s) == std::future_status::ready);
  return future.get();
}

static void each_kind(cache& cache) {
  using tokencache::set_options;
  std::string key = "alice", text = "token";
  set_options options{1h};
  const result stored = answer([&](auto done) {
    cache.set_async(key, text, options, std::move(done));
    key = text = "xxxxx";
    options = {};
  });
  CHECK(stored.status == TC_OK && stored.version != 0 && !stored.entry && stored.message.empty());

  const result read = answer([&](auto done) { cache.get_async("alice", std::move(done)); });
  CHECK(read.status == TC_OK && read.entry->view() == "token" && read.entry->version() == stored.version);
  CHECK(read.entry->expires_at());

  set_options over;
  over.expected_version = stored.version + 1;
  const result refused = answer([&](auto done) { cache.set_async("alice", "other", over, std::move(done)); });
  CHECK(refused.status == TC_CONFLICT && refused.version == 0);

  CHECK(answer([&](auto done) { cache.remove_async("alice", std::move(done)); }).status == TC_OK);
  const result gone = answer([&](auto done) { cache.get_async("alice", std::move(done)); });
  CHECK(gone.status == TC_NOT_FOUND && !gone.entry);
  // A result keeps its entry.
  CHECK(read.entry->view() == "token");
  UNTIL(witness::alive == 0);
}

static void failures_arrive(cache& cache) {
  FAILS(TC_INVALID_ARGUMENT, cache.get_async("", [seen = witness()](const result&) { CHECK(false); }));
  CHECK(witness::alive == 0);
  if (!has_l2()) return;
  l2_goes_away();
  const result failed = answer([&](auto done) { cache.get_async("nobody", std::move(done)); });
  CHECK(failed.status == TC_L2_UNREACHABLE && failed.message == "failed" && !failed.entry);
  l2_comes_back();
}

static void completions_of_any_kind(cache& cache) {
  static std::atomic<int> called;
  std::atomic<int> also{0};
  cache.set("alice", "token");
  void (*function)(const result&) = [](const result& got) { called += got.status == TC_OK; };
  cache.get_async("alice", function);
  const std::function<void(result)> kept = [&also](const result& got) { also += got.status == TC_OK; };
  cache.get_async("alice", kept);
  cache.get_async("alice", std::ref(kept));
  UNTIL(called == 1 && also == 2);
}

static void many(cache& cache) {
  const int count = often(4000);
  std::atomic<int> times{0};
  for (int i = 0; i < count; i++) {
    const std::string key = "key " + std::to_string(i % 50);
    auto done = [&times, seen = witness()](const result& got) {
      CHECK(got.status >= 0);
      times++;
    };
    if (i % 3 == 0) cache.set_async(key, key, {}, done);
    else if (i % 3 == 1) cache.get_async(key, done);
    else cache.remove_async(key, done);
  }
  UNTIL(times == count && witness::alive == 0);
}

void run() {
  cache cache = open_cache();
  each_kind(cache);
  failures_arrive(cache);
  completions_of_any_kind(cache);
  many(cache);
}
