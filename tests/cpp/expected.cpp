/// Failures as answers, by the members that begin with `try_`; with exceptions and without.
#include <memory>
#include <vector>

#include "check.hpp"

using tokencache::cache;
using tokencache::error;
using tokencache::expected;
using tokencache::result;

// A key that seals nothing but this test.
static const std::string ring =
    R"(, "encryption": {"algorithm": "aes-256-gcm", "keyring": {"version": 1, "keys": [
         {"id": "aaed13388eb3d37e94e3033fc364adb8", "created": "2026-11-28T22:42:30Z", "state": "active",
          "material": "BhsHaMqN1FO3MmQE8SBSFpak4VOcnTAj9z6dMw5aOfo="}]}})";

/// Whether it failed so, with a sentence.
template <class T>
static bool failed(const expected<T>& answer, tc_status status) {
  return !answer && !answer.has_value() && answer.error().status() == status && *answer.error().what() != 0;
}

static void opened_and_closed() {
  CHECK(failed(cache::try_open("{"), TC_INVALID_CONFIG));
  auto opened = cache::try_open(document());
  CHECK(opened && opened->handle() != nullptr);
  cache moved = std::move(opened).value();
  CHECK(opened->handle() == nullptr && moved.try_clear());
  CHECK(failed(opened->try_clear(), TC_INVALID_HANDLE));
  CHECK(*moved.try_close() == TC_OK && *moved.try_close() == TC_OK && failed(moved.try_get("alice"), TC_INVALID_HANDLE));
}

static void read_and_written(cache& cache) {
  auto found = cache.try_get("alice");
  CHECK(found && !*found);
  const auto stored = cache.try_set("alice", "token");
  CHECK(stored && *stored && stored->status == TC_OK && stored->version != 0);
  found = cache.try_get("alice");
  CHECK(found && *found && (*found)->view() == "token" && (*found)->version() == stored->version);
  CHECK((*cache.try_peek("alice"))->view() == "token");
  char buffer[8];
  CHECK(cache.try_get_into("alice", buffer, sizeof buffer)->size == 5);
  CHECK(cache.try_get_into("alice", buffer, 1)->status == TC_BUFFER_TOO_SMALL);
  CHECK(cache.try_get_into("nobody", buffer, 1)->status == TC_NOT_FOUND);
  CHECK(!*cache.try_compare_and_swap("alice", "newer", stored->version + 1));
  CHECK(*cache.try_compare_and_swap("alice", "newer", stored->version));
  CHECK(*cache.try_touch("alice") == TC_OK && *cache.try_remove("alice") == TC_OK);
  CHECK(*cache.try_touch("alice") == TC_NOT_FOUND && !*cache.try_peek("alice"));
  const auto merged = cache.try_set_merged("alice", nullptr, R"({"AccessToken": {}, "Kept": {"a": 1}})");
  CHECK(merged && merged->merged && *cache.try_remove("alice") == TC_OK);
  CHECK(*cache.try_flush(1min) == TC_OK && cache.try_stats()->find("\"hits\":") != std::string::npos);
  CHECK(cache.try_configure(document()));
}

static void refused(cache& cache) {
  char byte = 0;
  CHECK(failed(cache.try_get(""), TC_INVALID_ARGUMENT) && failed(cache.try_peek(""), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_get_into("", &byte, 1), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_set("", "token"), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_remove(""), TC_INVALID_ARGUMENT) && failed(cache.try_touch(""), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_configure("{"), TC_INVALID_CONFIG));
  CHECK(failed(cache.try_set_merged("alice", nullptr, "no document"), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_set_merged("alice", nullptr, "{}", {0ms}), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_protect("alice", "token"), TC_INVALID_CONFIG));
  CHECK(failed(cache.try_unprotect("alice", "token"), TC_INVALID_CONFIG));
  CHECK(failed(cache.try_on_log(0, [](auto&&...) {}), TC_INVALID_ARGUMENT));
  // What C would take for the default, and the sentence says so.
  const auto no_time = cache.try_set("alice", "token", {0ms});
  CHECK(failed(no_time, TC_INVALID_ARGUMENT) && std::string_view(no_time.error().what()).find("ttl") == 0);
  CHECK(failed(cache.try_compare_and_swap("alice", "token", 0), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_set_async("alice", "token", {0ms}, [](const result&) {}), TC_INVALID_ARGUMENT));
}

/// An error is kept as what it was, whatever fails later.
static void errors_are_values(cache& cache) {
  const auto first = cache.try_get("");
  const std::string sentence = first.error().what();
  (void)cache.try_configure("{");
  const error copy = first.error();
  CHECK(sentence == first.error().what() && sentence == copy.what() && copy.status() == TC_INVALID_ARGUMENT);

  expected<std::unique_ptr<int>> kept = std::make_unique<int>(7);
  CHECK(*std::move(kept).value_or(nullptr) == 7);
  kept = error(TC_L2_BUSY, "busy");
  CHECK(!std::move(kept).value_or(nullptr));
  CHECK(expected<int>(error(TC_L2_BUSY, "busy")).value_or(3) == 3 && expected<int>(4).value_or(3) == 4);
#ifdef __cpp_exceptions
  FAILS(TC_INVALID_ARGUMENT, first.value());
  FAILS(TC_L2_BUSY, kept.value());
#endif
}

/// As `std::move_only_function` of C++23: null, or what can be called.
template <class Signature>
class move_only_function {
 public:
  move_only_function(std::nullptr_t = nullptr) noexcept {}
  friend bool operator==(const move_only_function& it, std::nullptr_t) noexcept { return !it.held_; }
  template <class... Arguments>
  auto operator()(Arguments&&... arguments) const {
    return (*held_)(std::forward<Arguments>(arguments)...);
  }

 private:
  std::unique_ptr<std::function<Signature>> held_;
};

static void in_the_background(cache& cache) {
  std::atomic<int> completed{0};
  const auto done = [&completed, seen = witness()](const result& got) {
    CHECK(got.status >= 0);
    completed++;
  };
  CHECK(cache.try_set_async("bob", "token", {}, std::function<void(const result&)>(done)));
  CHECK(cache.try_get_async("bob", done) && cache.try_remove_async("carol", done));
  UNTIL(completed == 3 && witness::alive == 1);
  CHECK(failed(cache.try_get_async("", done), TC_INVALID_ARGUMENT) && witness::alive == 1);
  // One that is empty could not be called.
  CHECK(failed(cache.try_get_async("bob", std::function<void(const result&)>()), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_remove_async("bob", static_cast<void (*)(const result&)>(nullptr)), TC_INVALID_ARGUMENT));
  CHECK(failed(cache.try_remove_async("bob", move_only_function<void(const result&)>()), TC_INVALID_ARGUMENT));
}

static void callbacks(cache& cache) {
  using retry = std::function<tokencache::decision(const tokencache::failure&)>;
  using log = std::function<void(tc_level, std::string_view, std::string_view)>;
  const auto give_up = [seen = witness()](const tokencache::failure&) { return tokencache::decision::give_up(); };
  CHECK(cache.try_on_retry(retry(give_up)) && cache.try_on_log(TC_LEVEL_ERROR, log([seen = witness()](auto&&...) {})));
  CHECK(witness::alive == 3);
  CHECK(cache.try_on_retry(retry()) && cache.try_on_log(TC_LEVEL_ERROR, log()));
  UNTIL(witness::alive == 1);
  CHECK(cache.try_on_retry(give_up) && cache.try_on_log(TC_LEVEL_ERROR, log([seen = witness()](auto&&...) {})));
  CHECK(cache.try_on_retry(move_only_function<tokencache::decision(const tokencache::failure&)>()));
  CHECK(cache.try_on_log(TC_LEVEL_ERROR, move_only_function<void(tc_level, std::string_view, std::string_view)>()));
  UNTIL(witness::alive == 1);
  CHECK(cache.try_on_retry(nullptr) && cache.try_on_log(nullptr));
}

static void sealed() {
  if (has_l2()) return;
  auto cache = cache::try_open(document(ring));
  CHECK(cache);
  const auto envelope = cache->try_protect("alice", "token");
  CHECK(envelope && envelope->find("token") == std::string::npos);
  CHECK((*cache->try_unprotect("alice", *envelope))->view() == "token");
  CHECK(failed(cache->try_unprotect("bob", *envelope), TC_SEAL_WRONG_CONTEXT));
}

void run() {
  opened_and_closed();
  auto cache = cache::try_open(document());
  CHECK(cache);
  read_and_written(*cache);
  refused(*cache);
  errors_are_values(*cache);
  in_the_background(*cache);
  callbacks(*cache);
  sealed();
}
