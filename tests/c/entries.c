/* Get, peek, get into, set, remove, touch, clear; and values that outlive all of it. */
#include "check.h"

static void stored_and_read(tc_cache *cache) {
  const tc_value *value = NULL;
  uint64_t version = 0;
  IS(TC_NOT_FOUND, tc_get(cache, "alice", 5, &value));
  IS(TC_NOT_FOUND, tc_peek(cache, "alice", 5, &value));
  CHECK(value == NULL);

  int64_t before = unix_ms();
  IS(TC_OK, tc_set(cache, "alice", 5, "token", 5, NULL, &version));
  CHECK(version != 0 && version != TC_VERSION_ABSENT);
  IS(TC_OK, tc_get(cache, "alice", TC_NTS, &value));
  CHECK(value->len == 5 && memcmp(value->data, "token", 5) == 0);
  CHECK(value->version == version && value->tier == TC_TIER_L1 && value->flags == 0);
  CHECK(value->written_at_ms >= before && value->written_at_ms <= unix_ms());
  CHECK(value->expires_at_ms == value->written_at_ms + 14 * 24 * 3600 * (int64_t)1000);
  tc_value_release(value);

  IS(TC_OK, tc_peek(cache, "alice", 5, &value));
  CHECK(value->len == 5 && value->version == version);
  tc_value_release(value);
}

static void read_into_a_buffer(tc_cache *cache) {
  char buffer[8] = "untouche";
  size_t length = 0;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_BUFFER_TOO_SMALL, tc_get_into(cache, "alice", 5, NULL, 0, &length));
  CHECK(length == 5);
  IS(TC_BUFFER_TOO_SMALL, tc_get_into(cache, "alice", 5, buffer, 4, &length));
  CHECK(length == 5 && memcmp(buffer, "untouche", 8) == 0);
  IS(TC_OK, tc_get_into(cache, "alice", 5, buffer, 5, &length));
  CHECK(length == 5 && memcmp(buffer, "tokenche", 8) == 0);
  length = 77;
  IS(TC_NOT_FOUND, tc_get_into(cache, "bob", 3, buffer, 8, &length));
  CHECK(length == 77);
}

static void values_do_not_change(tc_cache *cache) {
  const tc_value *first = NULL, *second = NULL;
  IS(TC_OK, set(cache, "alice", "first"));
  IS(TC_OK, tc_get(cache, "alice", 5, &first));
  IS(TC_OK, set(cache, "alice", "second"));
  IS(TC_OK, tc_get(cache, "alice", 5, &second));
  CHECK(first->len == 5 && memcmp(first->data, "first", 5) == 0);
  CHECK(second->len == 6 && memcmp(second->data, "second", 6) == 0);
  CHECK(first->version != second->version);
  tc_value_release(first);
  tc_value_release(second);
}

static void removed(tc_cache *cache) {
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_remove(cache, "alice", 5));
  IS(TC_NOT_FOUND, get(cache, "alice"));
  IS(TC_OK, tc_remove(cache, "alice", 5));
}

static void touched(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  options.sliding_ms = 3600000;
  IS(TC_NOT_FOUND, tc_touch(cache, "nobody", 6));
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_touch(cache, "alice", 5));
  IS(TC_OK, tc_set(cache, "bob", 3, "token", 5, &options, NULL));
  IS(TC_OK, tc_touch(cache, "bob", 3));
}

static void cleared(tc_cache *cache) {
  const tc_value *value = NULL;
  tc_set_options options = TC_SET_OPTIONS;
  options.flags = TC_LOCAL_ONLY;
  IS(TC_OK, set(cache, "shared", "token"));
  IS(TC_OK, tc_set(cache, "local", 5, "token", 5, &options, NULL));
  IS(TC_OK, get(cache, "local"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_NOT_FOUND, tc_peek(cache, "shared", 6, &value));
  IS(TC_NOT_FOUND, get(cache, "local"));
  IS(has_l2() ? TC_OK : TC_NOT_FOUND, tc_get(cache, "shared", 6, &value));
  if (!has_l2()) return;
  CHECK(value->tier == TC_TIER_L2 && value->len == 5);
  tc_value_release(value);
  IS(TC_OK, tc_peek(cache, "shared", 6, &value));
  CHECK(value->tier == TC_TIER_L1);
  tc_value_release(value);
}

static void any_bytes(tc_cache *cache) {
  enum { LARGE = 1 << 20 };
  char *large = malloc(LARGE), *copy = malloc(LARGE);
  size_t length = 0;
  for (int i = 0; i < LARGE; i++) large[i] = (char)(i * 31 >> 3);
  IS(TC_OK, tc_set(cache, "\0\xff\n", 3, large, LARGE, NULL, NULL));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, tc_set(cache, "\0\xff\n", 3, large, LARGE, NULL, NULL));
  IS(TC_OK, tc_get_into(cache, "\0\xff\n", 3, copy, LARGE, &length));
  CHECK(length == LARGE && memcmp(large, copy, LARGE) == 0);
  IS(TC_OK, tc_set(cache, "empty", 5, NULL, 0, NULL, NULL));
  IS(TC_OK, tc_get_into(cache, "empty", 5, NULL, 0, &length));
  CHECK(length == 0);
  free(large);
  free(copy);
}

static void values_outlive_the_cache(tc_cache *cache) {
  const tc_value *value = NULL;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_get(cache, "alice", 5, &value));
  CHECK(tc_value_retain(value) == value);
  CHECK(tc_value_retain(NULL) == NULL);
  IS(TC_OK, tc_close(cache));
  CHECK(value->len == 5 && memcmp(value->data, "token", 5) == 0);
  tc_value_release(value);
  CHECK(value->len == 5 && memcmp(value->data, "token", 5) == 0);
  tc_value_release(value);
  tc_value_release(NULL);
}

void run(void) {
  tc_cache *cache = open_cache(NULL);
  stored_and_read(cache);
  read_into_a_buffer(cache);
  values_do_not_change(cache);
  removed(cache);
  touched(cache);
  cleared(cache);
  any_bytes(cache);
  values_outlive_the_cache(cache);
}
