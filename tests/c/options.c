/* Until when an entry lives, and options of other sizes. */
#include "check.h"

static tc_status set_with(tc_cache *cache, const tc_set_options *options) {
  return tc_set(cache, "alice", 5, "token", 5, options, NULL);
}

static int64_t expires_at(tc_cache *cache) {
  const tc_value *value = NULL;
  IS(TC_OK, tc_get(cache, "alice", 5, &value));
  int64_t end = value->expires_at_ms;
  tc_value_release(value);
  return end;
}

static void the_earliest_end_holds(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  int64_t now = unix_ms();
  options.ttl_ms = 3600000;
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) >= now + 3600000 && expires_at(cache) <= unix_ms() + 3600000);
  options.expires_at_ms = now + 1800000;
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) == now + 1800000);
  options.expires_at_ms = now + 7200000;
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) < now + 7200000);
  options = (tc_set_options)TC_SET_OPTIONS;
  options.ttl_ms = TC_NEVER;
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) == 0);
}

static void an_entry_ends(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = 300;
  int64_t before = now_ms();
  IS(TC_OK, set_with(cache, &options));
  UNTIL(get(cache, "alice") == TC_NOT_FOUND);
  CHECK(now_ms() - before >= 290);
  IS(TC_OK, tc_clear(cache));
  IS(TC_NOT_FOUND, get(cache, "alice"));
}

static void an_end_that_is_past_removes(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  uint64_t version = 77;
  IS(TC_OK, set(cache, "alice", "token"));
  options.expires_at_ms = unix_ms() - 1000;
  IS(TC_OK, tc_set(cache, "alice", 5, "token", 5, &options, &version));
  CHECK(version == 0);
  IS(TC_NOT_FOUND, get(cache, "alice"));
}

enum { WINDOW = 4000 };

static bool outlives_two_windows(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  options.sliding_ms = WINDOW;
  options.ttl_ms = TC_NEVER;
  int64_t begin = now_ms();
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) == 0);
  while (now_ms() < begin + 2 * WINDOW)
    if (get(cache, "alice") != TC_OK) return false;
  return true;
}

static void reads_renew_a_window(tc_cache *cache) {
  /* Where the machine stands still for a window nobody reads for so long, and it ends. */
  UNTIL(outlives_two_windows(cache));
  /* The last read may have renewed it: nothing looks at it for longer than the window. */
  int64_t last = now_ms();
  UNTIL(now_ms() > last + WINDOW + 500);
  IS(TC_NOT_FOUND, get(cache, "alice"));
}

static void other_sizes_of_options(tc_cache *cache) {
  struct {
    tc_set_options known;
    uint64_t unknown[4];
  } larger = {.known = {.struct_size = sizeof larger, .ttl_ms = TC_NEVER}};
  IS(TC_OK, set_with(cache, &larger.known));
  CHECK(expires_at(cache) == 0);
  larger.unknown[3] = 1;
  IS(TC_INVALID_ARGUMENT, set_with(cache, &larger.known));
  struct {
    size_t struct_size;
    int64_t ttl_ms;
  } smaller = {sizeof smaller, TC_NEVER};
  IS(TC_OK, set(cache, "alice", "token"));
  CHECK(expires_at(cache) != 0);
  IS(TC_OK, set_with(cache, (const tc_set_options *)(const void *)&smaller));
  CHECK(expires_at(cache) == 0);
}

static void the_configured_default(void) {
  tc_cache *cache = open_cache(", \"expiry\": {\"default_ttl_ms\": 60000}, \"resilience\": {\"deadline_ms\": 60000}");
  int64_t now = unix_ms();
  tc_set_options options = TC_SET_OPTIONS;
  IS(TC_OK, set_with(cache, &options));
  CHECK(expires_at(cache) >= now + 60000 && expires_at(cache) <= unix_ms() + 60000);
  IS(TC_OK, tc_close(cache));
}

void run(void) {
  tc_cache *cache = open_cache(NULL);
  the_earliest_end_holds(cache);
  an_entry_ends(cache);
  an_end_that_is_past_removes(cache);
  reads_renew_a_window(cache);
  other_sizes_of_options(cache);
  IS(TC_OK, tc_close(cache));
  the_configured_default();
}
