/// Who owns what: caches and values that move, and values that outlive their cache.
#include <memory>
#include <vector>

#include "check.hpp"

using tokencache::cache;
using tokencache::value;

static void caches_move() {
  cache first = open_cache(), none;
  first.set("alice", "token");
  tc_cache* const handle = first.handle();
  cache second(std::move(first));
  CHECK(second.handle() == handle && second.get("alice")->view() == "token");
  FAILS(TC_INVALID_HANDLE, first.get("alice"));
  FAILS(TC_INVALID_HANDLE, first.on_log(TC_LEVEL_INFO, [seen = witness()](auto&&...) {}));
  FAILS(TC_INVALID_HANDLE, first.get_async("alice", [seen = witness()](const tokencache::result&) {}));
  CHECK(witness::alive == 0);
  CHECK(first.close() == TC_OK);

  cache& self = second;
  second = std::move(self);
  CHECK(second.handle() == handle);
  none = std::move(second);
  CHECK(none.handle() == handle && second.handle() == nullptr);
  // The one that it held is closed.
  none = open_cache();
  CHECK(tc_clear(handle) == TC_INVALID_HANDLE);
  CHECK(none.close() == TC_OK && none.close() == TC_OK);
  FAILS(TC_INVALID_HANDLE, none.clear());

  std::vector<cache> several;
  for (int i = 0; i < 5; i++) several.push_back(open_cache());
  for (cache& one : several) one.set("alice", "token");
}

static void values_move_and_outlive() {
  cache cache = open_cache();
  cache.set("alice", "token");
  auto first = cache.get("alice");
  value second = *first, third = std::move(*first);
  const char* const bytes = second.view().data();
  CHECK(third.view().data() == bytes);
  first.reset();
  value& self = second;
  second = self;
  second = std::move(self);
  CHECK(second.view() == "token");

  cache.set("alice", "newer");
  cache.remove("alice");
  cache.clear();
  CHECK(cache.close() == TC_OK);
  third = std::move(second);
  CHECK(third.view() == "token" && third.view().data() == bytes && third.version() != 0);
}

/// The completion has the last reference to its cache, which closes itself there.
static void closed_by_its_own_callback() {
  std::atomic<bool> is_over{false};
  auto mine = std::make_shared<cache>(open_cache(R"(, "resilience": {"close_ms": 600000})"));
  mine->set("alice", "token");
  tc_cache* const handle = mine->handle();
  cache& same = *mine;
  same.get_async("alice", [mine = std::move(mine), &is_over, seen = witness()](const tokencache::result& got) mutable {
    CHECK(got.entry->view() == "token");
    mine.reset();
    is_over = true;
  });
  UNTIL(is_over && witness::alive == 0 && tc_clear(handle) == TC_INVALID_HANDLE);
}

/// Destroying it waits for what was accepted, or ends it; each completion was called and destroyed.
static void destroyed_with_calls_in_flight(const char* close_ms) {
  std::atomic<int> completed{0};
  const int count = often(2000);
  {
    cache cache = open_cache(std::string(R"(, "resilience": {"deadline_ms": 60000, "close_ms": )") + close_ms + "}");
    for (int i = 0; i < count; i++) {
      const std::string key = "key " + std::to_string(i % 100);
      auto done = [&completed, seen = std::make_unique<witness>()](tokencache::result got) {
        CHECK(got.status >= 0 || got.status == TC_CLOSED);
        completed++;
      };
      if (i % 2 == 0) cache.set_async(key, "token", {}, std::move(done));
      else cache.get_async(key, std::move(done));
    }
  }
  UNTIL(completed == count && witness::alive == 0);
}

void run() {
  caches_move();
  values_move_and_outlive();
  closed_by_its_own_callback();
  destroyed_with_calls_in_flight("60000");
  destroyed_with_calls_in_flight("5");
}
