/* Handles that are not, or no longer. */
#include "rows.h"

static void never_called(void *user_data, const tc_result *result) {
  (void)user_data;
  (void)result;
  failed(__FILE__, __LINE__, "a refused call is not answered");
}

static void refused_by_every_function(tc_cache *cache) {
  const tc_value *const untouched = (const tc_value *)77, *value = untouched;
  size_t length = 77;
  uint64_t version = 77;
  char buffer[8];
  IS(TC_INVALID_HANDLE, tc_get(cache, "alice", 5, &value));
  IS(TC_INVALID_HANDLE, tc_peek(cache, "alice", 5, &value));
  IS(TC_INVALID_HANDLE, tc_get_into(cache, "alice", 5, buffer, sizeof buffer, &length));
  IS(TC_INVALID_HANDLE, tc_set(cache, "alice", 5, "token", 5, NULL, &version));
  IS(TC_INVALID_HANDLE, tc_set_merged(cache, "alice", 5, NULL, "{}", 2, NULL, &version, &value));
  IS(TC_INVALID_HANDLE, tc_remove(cache, "alice", 5));
  IS(TC_INVALID_HANDLE, tc_touch(cache, "alice", 5));
  IS(TC_INVALID_HANDLE, tc_clear(cache));
  IS(TC_INVALID_HANDLE, tc_get_async(cache, "alice", 5, never_called, NULL));
  IS(TC_INVALID_HANDLE, tc_set_async(cache, "alice", 5, "token", 5, NULL, never_called, NULL));
  IS(TC_INVALID_HANDLE, tc_remove_async(cache, "alice", 5, never_called, NULL));
  IS(TC_INVALID_HANDLE, tc_configure(cache, "{\"version\": 1}", TC_NTS));
  IS(TC_INVALID_HANDLE, tc_flush(cache, 1));
  IS(TC_INVALID_HANDLE, tc_on_retry(cache, NULL, NULL, NULL));
  IS(TC_INVALID_HANDLE, tc_on_log(cache, TC_LEVEL_WARN, NULL, NULL, NULL));
  IS(TC_INVALID_HANDLE, tc_stats(cache, &value));
  IS(TC_INVALID_HANDLE, tc_close(cache));
  CHECK(value == untouched && length == 77 && version == 77 && says("handle"));
}

void null_handle(void) {
  refused_by_every_function(NULL);
  IS(TC_OK, tc_close(open_l1(NULL)));
  refused_by_every_function(NULL);
}

void random_handle(void) {
  tc_cache *open = open_l1(NULL);
  uint64_t random = 88172645463325252;
  for (int i = 0; i < 100000; i++) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    refused_by_every_function((tc_cache *)(uintptr_t)random);
  }
  /* Those that differ from an open one in a single bit. */
  for (int bit = 0; bit < 64; bit++) refused_by_every_function((tc_cache *)((uintptr_t)open ^ (uintptr_t)1 << bit));
  IS(TC_OK, tc_close(open));
}

void closed_handle(void) {
  tc_cache *closed = open_sqlite(NULL);
  IS(TC_OK, tc_close(closed));
  refused_by_every_function(closed);
  tc_cache *in_its_place = open_sqlite(NULL);
  CHECK(in_its_place != closed);
  refused_by_every_function(closed);
  IS(TC_OK, set(in_its_place, "alice", "token"));
  IS(TC_OK, tc_close(in_its_place));
}

static _Atomic int closes;

static void *close_it(void *cache) {
  tc_status status = tc_close(cache);
  CHECK(status == TC_OK || status == TC_INVALID_HANDLE);
  closes += status == TC_OK;
  return NULL;
}

void closed_twice(void) {
  tc_cache *cache = open_sqlite(NULL);
  IS(TC_OK, tc_close(cache));
  IS(TC_INVALID_HANDLE, tc_close(cache));
  for (int i = 1; i <= 100; i++) {
    start_threads(8, close_it, open_l1(NULL));
    join_threads();
    CHECK(closes == i);
  }
}

void handle_of_another_kind(void) {
  tc_cache *cache = open_l1(NULL);
  const tc_value *value = NULL;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_get(cache, "alice", 5, &value));
  refused_by_every_function((tc_cache *)(uintptr_t)value);
  refused_by_every_function((tc_cache *)(uintptr_t)value->data);
  refused_by_every_function((tc_cache *)&cache);
  refused_by_every_function((tc_cache *)stderr);
  refused_by_every_function((tc_cache *)(uintptr_t)&tc_close);
  tc_value_release(value);
  IS(TC_OK, tc_close(cache));
}

static _Atomic int reading;

static void *read_until_closed(void *cache) {
  char key[16];
  for (int i = 0;; i++) {
    snprintf(key, sizeof key, "key %d", i % 50);
    tc_status status = get(cache, key);
    if (i == 20) reading++;
    if (status == TC_INVALID_HANDLE || status == TC_CLOSED) break;
    CHECK(status == TC_OK || status == TC_NOT_FOUND);
  }
  IS(TC_INVALID_HANDLE, get(cache, "alice"));
  return NULL;
}

static void close_while_read(tc_cache *cache) {
  reading = 0;
  for (int i = 0; i < 25; i++) {
    char key[16];
    snprintf(key, sizeof key, "key %d", i);
    IS(TC_OK, set(cache, key, "token"));
  }
  start_threads(8, read_until_closed, cache);
  UNTIL(reading == 8);
  int64_t begin = now_ms();
  IS(TC_OK, tc_close(cache));
  CHECK(now_ms() - begin < 10000);
  join_threads();
}

void closed_while_read(void) {
  for (int i = 0; i < 50; i++) close_while_read(open_l1(NULL));
  for (int i = 0; i < 10; i++) close_while_read(open_sqlite(NULL));
}

void value_after_close(void) {
  tc_cache *cache = open_sqlite(NULL);
  const tc_value *from_l1 = NULL, *from_l2 = NULL;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_get(cache, "alice", 5, &from_l1));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, tc_get(cache, "alice", 5, &from_l2));
  CHECK(from_l1->tier == TC_TIER_L1 && from_l2->tier == TC_TIER_L2);
  IS(TC_OK, tc_close(cache));
  CHECK(from_l1->len == 5 && memcmp(from_l1->data, "token", 5) == 0);
  CHECK(from_l2->len == 5 && memcmp(from_l2->data, "token", 5) == 0);
  CHECK(tc_value_retain(from_l1) == from_l1);
  tc_value_release(from_l1);
  tc_value_release(from_l1);
  tc_value_release(from_l2);
}
