/// Compare-and-swap: no increment is lost.
#include <vector>

#include "check.hpp"

using tokencache::cache;

static void compared(cache& cache) {
  const auto first = cache.compare_and_swap("alice", "first", tokencache::absent);
  CHECK(first && first.version != 0);
  auto refused = cache.compare_and_swap("alice", "other", tokencache::absent);
  CHECK(!refused && refused.status == TC_CONFLICT && refused.version == 0);
  const auto second = cache.compare_and_swap("alice", "second", first.version, {1h});
  CHECK(second && second.version != first.version);
  CHECK(!cache.compare_and_swap("alice", "third", first.version));
  CHECK(cache.get("alice")->view() == "second" && cache.get("alice")->expires_at());
  cache.remove("alice");
  CHECK(!cache.compare_and_swap("alice", "third", second.version));
}

static std::string msal_cache(const std::string& tokens) {
  std::string text = "{\"AccessToken\":{";
  for (const char token : tokens) {
    if (text.back() != '{') text += ',';
    text += std::string("\"") + token + "\":{\"secret\":\"made-up\",\"cached_at\":\"1\",\"expires_on\":\"4070908800\"}";
  }
  return text + "}}";
}

static void merged(cache& cache) {
  CHECK(cache.set_merged("msal", nullptr, msal_cache("ab")).merged->view() == msal_cache("ab"));
  const auto base = cache.get("msal");
  const auto alone = cache.set_merged("msal", &*base, msal_cache("abc"));
  CHECK(alone && alone.status == TC_OK && alone.merged->view() == msal_cache("abc"));
  const auto both = cache.set_merged("msal", &*base, msal_cache("bd"), {1h});
  CHECK(both && both.merged->view() == msal_cache("bcd"));
  CHECK(cache.get("msal")->view() == msal_cache("bcd") && cache.get("msal")->version() == both.merged->version());
  tc_status refused = TC_OK;
  try {
    cache.set_merged("msal", nullptr, "not a document");
  } catch (const tokencache::error& error) {
    refused = error.status();
  }
  CHECK(refused == TC_INVALID_ARGUMENT);
}

static void increment(cache& cache, int times) {
  while (times > 0) {
    const auto count = cache.get("count");
    const std::string next = std::to_string(std::stoi(std::string(count->view())) + 1);
    if (cache.compare_and_swap("count", next, count->version())) times--;
  }
}

void run() {
  cache one = open_cache(), other = has_l2() ? open_cache() : cache();
  compared(one);
  merged(one);
  const int times = often(has_l2() ? 100 : 1000);
  one.set("count", "0");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; i++) {
    cache& chosen = has_l2() && i % 2 == 1 ? other : one;
    threads.emplace_back([&chosen, times] { increment(chosen, times); });
  }
  for (std::thread& thread : threads) thread.join();
  one.clear();
  if (has_l2()) CHECK(one.get("count")->view() == std::to_string(8 * times));
}
