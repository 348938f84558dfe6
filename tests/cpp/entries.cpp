/// Entries come back as they were stored, with what is known of them.
#include <algorithm>
#include <array>
#include <vector>

#include "check.hpp"

using tokencache::cache;
using tokencache::set_options;
using clock_type = std::chrono::system_clock;

static void round_trips(cache& cache) {
  const std::string nuls("a\0b\0\xff", 5), blob(7000, '\x7f');
  const std::vector<unsigned char> numbers{0, 1, 2, 255};
  const std::array<std::byte, 2> pair{std::byte{0}, std::byte{9}};
  cache.set("alice", "token");
  cache.set("nuls", nuls);
  cache.set(nuls, blob);
  cache.set("numbers", numbers);
  cache.set("pair", pair);
  cache.set("empty", std::string_view());
  cache.set("none", std::vector<char>());
  cache.set("part", tokencache::bytes(blob.data(), 3));
  for (int twice = 0; twice < 2; twice++) {
    CHECK(cache.get("alice")->view() == "token");
    CHECK(cache.get("nuls")->view() == nuls);
    CHECK(cache.get(nuls)->view() == blob);
    const auto stored = cache.get("numbers");
    CHECK(stored->size() == 4 && std::equal(stored->data(), stored->data() + 4,
                                            reinterpret_cast<const std::byte*>(numbers.data())));
    CHECK(cache.get("pair")->size() == 2);
    CHECK(cache.get("empty")->view().empty() && cache.get("none")->size() == 0);
    CHECK(cache.get("part")->view() == blob.substr(0, 3));
    if (!has_l2()) break;
    cache.clear();
    CHECK(!cache.peek("alice"));
  }
  // An entry can be stored as it was read.
  cache.set("copy", *cache.get("alice"));
  CHECK(cache.peek("copy")->view() == "token");
  // Two reads of L1 see the same memory.
  CHECK(cache.get("copy")->data() == cache.get("copy")->data());
}

static void what_is_known(cache& cache) {
  const auto before = clock_type::now() - 1s;
  const auto written = cache.set("alice", "token", {1h});
  auto entry = cache.get("alice");
  CHECK(entry->version() == written.version && written.status == TC_OK && written);
  CHECK(*entry->written_at() >= before && *entry->written_at() <= clock_type::now() + 1s);
  CHECK(*entry->expires_at() >= before + 1h && *entry->expires_at() <= clock_type::now() + 1h + 1s);
  CHECK(entry->tier() == TC_TIER_L1 && entry->flags() == 0 && !entry->degraded());
  cache.clear();
  if (has_l2()) CHECK(cache.get("alice")->tier() == TC_TIER_L2);

  set_options options;
  options.ttl = tokencache::never;
  cache.set("alice", "token", options);
  CHECK(!cache.get("alice")->expires_at());
  options.expires_at = clock_type::now() + 30min;
  cache.set("alice", "token", options);
  CHECK(*options.expires_at - *cache.get("alice")->expires_at() < 2ms);
  options.expires_at = clock_type::from_time_t(-1);
  CHECK(cache.set("alice", "token", options).version == 0);
  CHECK(!cache.get("alice"));
  options = {};
  options.sliding = 150ms;
  options.ttl = tokencache::never;
  cache.set("alice", "token", options);
  CHECK(cache.touch("alice") == TC_OK);
  // Reads would renew it.
  UNTIL(cache.compare_and_swap("alice", "again", tokencache::absent));
  options = {};
  options.local_only = true;
  cache.set("here", "token", options);
  CHECK(cache.get("here")->view() == "token");
  cache.clear();
  CHECK(!cache.get("here"));

  // Later than this clock can tell.
  tc_set_options far = TC_SET_OPTIONS;
  far.ttl_ms = TC_NEVER;
  far.expires_at_ms = 253402300799999;
  CHECK(tc_set(cache.handle(), "far", 3, "token", 5, &far, nullptr) == TC_OK);
  CHECK(*cache.get("far")->expires_at() == tokencache::time_point::max());
}

static void into_a_buffer(cache& cache) {
  char buffer[8] = "-------";
  cache.set("alice", "token");
  auto read = cache.get_into("alice", buffer, 4);
  CHECK(!read && read.status == TC_BUFFER_TOO_SMALL && read.size == 5 && *buffer == '-');
  read = cache.get_into("alice", buffer, sizeof buffer);
  CHECK(read && read.size == 5 && std::string_view(buffer, read.size) == "token");
  CHECK(cache.get_into("nobody", buffer, sizeof buffer).status == TC_NOT_FOUND);
}

static void refused(cache& cache) {
  using std::chrono::milliseconds;
  FAILS(TC_INVALID_ARGUMENT, cache.get(""));
  FAILS(TC_INVALID_ARGUMENT, cache.set("__tokencache:x", "token"));
  FAILS(TC_INVALID_ARGUMENT, cache.remove(std::string(1025, 'k')));
  FAILS(TC_VALUE_TOO_LARGE, cache.set("alice", std::string((1 << 20) + 1, 'v')));
  set_options options;
  for (const auto span : {milliseconds(0), milliseconds(-1), milliseconds(-5), milliseconds::min()}) {
    options = {};
    options.ttl = span;
    FAILS(TC_INVALID_ARGUMENT, cache.set("alice", "refused", options));
    options = {};
    options.sliding = span;
    FAILS(TC_INVALID_ARGUMENT, cache.set("alice", "refused", options));
    FAILS(TC_INVALID_ARGUMENT, cache.set_async("alice", "refused", options, [](const tokencache::result&) {}));
  }
  FAILS(TC_INVALID_ARGUMENT, cache.compare_and_swap("alice", "refused", 0));
  FAILS(TC_INVALID_CONFIG, cache.configure("{"));
  FAILS(TC_INVALID_CONFIG, cache::open(R"({"version": 1, "l3": {}})"));
  CHECK(cache.get("alice")->view() == "token");
}

static void removed(cache& cache) {
  cache.set("alice", "token");
  CHECK(cache.touch("alice") == TC_OK);
  CHECK(cache.remove("alice") == TC_OK && cache.remove("alice") == TC_OK);
  CHECK(!cache.get("alice") && !cache.peek("alice") && cache.touch("alice") == TC_NOT_FOUND);
}

static void the_rest(cache& cache) {
  CHECK(cache.flush(1min) == TC_OK && cache.flush(-1s) == TC_OK && cache.flush(std::chrono::hours(100000)) == TC_OK);
  CHECK(cache.stats().find("\"hits\":") != std::string::npos);
  cache.configure(document(R"(, "limits": {"max_key_bytes": 5})"));
  FAILS(TC_INVALID_ARGUMENT, cache.get("123456"));
  cache.configure(document());
  CHECK(!cache.get("123456"));
}

void run() {
  cache cache = open_cache();
  round_trips(cache);
  what_is_known(cache);
  into_a_buffer(cache);
  refused(cache);
  removed(cache);
  the_rest(cache);
}
