/// Programs without exceptions: failures are answers of the members that begin with `try_`.
#include "check.hpp"

void run() {
  tokencache::cache cache;
  CHECK(tokencache::cache::try_open("{", cache) == TC_INVALID_CONFIG && *tc_last_error() != 0);
  CHECK(tokencache::cache::try_open(document(), cache) == TC_OK);
  std::optional<tokencache::value> found;
  CHECK(cache.try_get("alice", found) == TC_NOT_FOUND && !found);
  const auto stored = cache.try_set("alice", "token");
  CHECK(stored && stored.status == TC_OK && stored.version != 0);
  CHECK(cache.try_get("alice", found) == TC_OK && found->view() == "token");
  CHECK(cache.try_get("", found) == TC_INVALID_ARGUMENT && !found && *tc_last_error() != 0);
  CHECK(cache.try_peek("alice", found) == TC_OK && found->version() == stored.version);
  CHECK(!cache.try_set("", "token") && cache.try_set("", "token").status == TC_INVALID_ARGUMENT);
  CHECK(cache.try_set("alice", "token", {0ms}).status == TC_INVALID_ARGUMENT);
  CHECK(cache.try_remove("alice") == TC_OK && cache.try_remove("") == TC_INVALID_ARGUMENT);
  CHECK(cache.try_peek("alice", found) == TC_NOT_FOUND && !found);
  std::atomic<int> completed{0};
  cache.get_async("alice", [&completed, seen = witness()](const tokencache::result& got) {
    CHECK(got.status == TC_NOT_FOUND);
    completed++;
  });
  UNTIL(completed == 1 && witness::alive == 0);
}
