/* Versions, and stores that compare them first. */
#include "check.h"

static tc_status swap(tc_cache *cache, const char *key, const char *text, uint64_t expected, uint64_t *version) {
  tc_set_options options = TC_SET_OPTIONS;
  options.expected_version = expected;
  return tc_set(cache, key, TC_NTS, text, strlen(text), &options, version);
}

static void compared(tc_cache *cache) {
  uint64_t first = 0, second = 0, untouched = 77;
  IS(TC_CONFLICT, swap(cache, "alice", "token", 12345, &untouched));
  IS(TC_OK, swap(cache, "alice", "first", TC_VERSION_ABSENT, &first));
  IS(TC_CONFLICT, swap(cache, "alice", "other", TC_VERSION_ABSENT, &untouched));
  IS(TC_OK, swap(cache, "alice", "second", first, &second));
  CHECK(second != first && second != 0);
  IS(TC_CONFLICT, swap(cache, "alice", "third", first, &untouched));
  CHECK(untouched == 77);
  IS(TC_OK, get(cache, "alice"));
  CHECK(strcmp(got_text, "second") == 0);
  IS(TC_OK, tc_remove(cache, "alice", 5));
  IS(TC_CONFLICT, swap(cache, "alice", "third", second, NULL));
  IS(TC_OK, swap(cache, "alice", "third", TC_VERSION_ABSENT, &first));
  CHECK(first != second);
}

static void what_has_expired_is_absent(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = 100;
  IS(TC_OK, tc_set(cache, "bob", 3, "token", 5, &options, NULL));
  UNTIL(swap(cache, "bob", "again", TC_VERSION_ABSENT, NULL) == TC_OK);
}

static int increments;

static void *increment(void *cache) {
  for (int left = increments; left > 0;) {
    const tc_value *value = NULL;
    char text[32] = "";
    IS(TC_OK, tc_get(cache, "count", 5, &value));
    memcpy(text, value->data, value->len);
    snprintf(text, sizeof text, "%d", atoi(text) + 1);
    tc_status status = swap(cache, "count", text, value->version, NULL);
    CHECK(status == TC_OK || status == TC_CONFLICT);
    left -= status == TC_OK;
    tc_value_release(value);
  }
  return NULL;
}

static void no_increment_is_lost(tc_cache *one, tc_cache *other) {
  increments = often(200);
  IS(TC_OK, set(one, "count", "0"));
  start_threads(4, increment, one);
  start_threads(4, increment, other);
  join_threads();
  IS(TC_OK, tc_clear(one));
  if (!has_l2()) return;
  IS(TC_OK, get(one, "count"));
  CHECK(atoi(got_text) == 8 * increments);
}

static void no_increment_is_lost_in_memory(tc_cache *cache) {
  increments = often(2000);
  IS(TC_OK, set(cache, "count", "0"));
  start_threads(8, increment, cache);
  join_threads();
  IS(TC_OK, get(cache, "count"));
  CHECK(atoi(got_text) == 8 * increments);
}

void run(void) {
  tc_cache *cache = open_cache(NULL);
  compared(cache);
  what_has_expired_is_absent(cache);
  if (has_l2()) {
    tc_cache *other = open_cache(NULL);
    no_increment_is_lost(cache, other);
    IS(TC_OK, tc_close(other));
  } else {
    no_increment_is_lost_in_memory(cache);
  }
  IS(TC_OK, tc_close(cache));
}
