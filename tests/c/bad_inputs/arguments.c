/* Keys, values, options and places for outputs that cannot be. */
#include "rows.h"

/* No memory is there: whoever looks before it leaps is killed. */
#define NOWHERE ((char *)64)

static void never_called(void *user_data, const tc_result *result) {
  (void)user_data;
  (void)result;
  failed(__FILE__, __LINE__, "a refused call is not answered");
}

static void key_refused_by_every_function(tc_cache *cache, const char *key, size_t length) {
  const tc_value *value = NULL;
  size_t len = 0;
  char buffer[8];
  IS(TC_INVALID_ARGUMENT, tc_get(cache, key, length, &value));
  CHECK(says("key"));
  IS(TC_INVALID_ARGUMENT, tc_peek(cache, key, length, &value));
  IS(TC_INVALID_ARGUMENT, tc_get_into(cache, key, length, buffer, sizeof buffer, &len));
  IS(TC_INVALID_ARGUMENT, tc_set(cache, key, length, "token", 5, NULL, NULL));
  IS(TC_INVALID_ARGUMENT, tc_set_merged(cache, key, length, NULL, "{}", 2, NULL, NULL, &value));
  IS(TC_INVALID_ARGUMENT, tc_remove(cache, key, length));
  IS(TC_INVALID_ARGUMENT, tc_touch(cache, key, length));
  IS(TC_INVALID_ARGUMENT, tc_protect(cache, key, length, "token", 5, &value));
  IS(TC_INVALID_ARGUMENT, tc_unprotect(cache, key, length, "token", 5, &value));
  IS(TC_INVALID_ARGUMENT, tc_get_async(cache, key, length, never_called, NULL));
  IS(TC_INVALID_ARGUMENT, tc_set_async(cache, key, length, "token", 5, NULL, never_called, NULL));
  IS(TC_INVALID_ARGUMENT, tc_remove_async(cache, key, length, never_called, NULL));
  CHECK(says("key"));
}

void null_key(void) {
  tc_cache *cache = open_sqlite(NULL);
  key_refused_by_every_function(cache, NULL, 5);
  key_refused_by_every_function(cache, NULL, 0);
  key_refused_by_every_function(cache, NULL, TC_NTS);
}

void null_empty_value(void) {
  tc_cache *cache = open_sqlite(NULL);
  IS(TC_OK, tc_set(cache, "alice", 5, NULL, 0, NULL, NULL));
  IS(TC_OK, get(cache, "alice"));
  CHECK(*got_text == 0);
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "alice"));
  CHECK(*got_text == 0);
}

void null_value(void) {
  tc_cache *cache = open_sqlite(NULL);
  IS(TC_INVALID_ARGUMENT, tc_set(cache, "alice", 5, NULL, 1, NULL, NULL));
  CHECK(says("data"));
  IS(TC_INVALID_ARGUMENT, tc_set_async(cache, "alice", 5, NULL, 1, NULL, never_called, NULL));
  const tc_value *value = NULL;
  IS(TC_INVALID_ARGUMENT, tc_protect(cache, "alice", 5, NULL, 1, &value));
  IS(TC_INVALID_ARGUMENT, tc_unprotect(cache, "alice", 5, NULL, 1, &value));
  IS(TC_INVALID_ARGUMENT, tc_protect(cache, "alice", 5, "token", 5, NULL));
  IS(TC_INVALID_ARGUMENT, tc_unprotect(cache, "alice", 5, "token", 5, NULL));
  IS(TC_INVALID_CONFIG, tc_protect(cache, "alice", 5, "token", 5, &value));
  IS(TC_INVALID_CONFIG, tc_unprotect(cache, "alice", 5, "token", 5, &value));
  IS(TC_NOT_FOUND, get(cache, "alice"));
}

void impossible_length(void) {
  tc_cache *cache = open_sqlite(NULL), *other = NULL;
  size_t lengths[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2, (size_t)1 << 40};
  for (int i = 0; i < 4; i++) {
    key_refused_by_every_function(cache, NOWHERE, lengths[i]);
    IS(TC_VALUE_TOO_LARGE, tc_set(cache, "alice", 5, NOWHERE, lengths[i], NULL, NULL));
    IS(TC_VALUE_TOO_LARGE, tc_set_async(cache, "alice", 5, NOWHERE, lengths[i], NULL, never_called, NULL));
    const tc_value *value = NULL;
    IS(TC_VALUE_TOO_LARGE, tc_protect(cache, "alice", 5, NOWHERE, lengths[i], &value));
    tc_status closed = tc_unprotect(cache, "alice", 5, NOWHERE, lengths[i], &value);
    CHECK(closed == TC_VALUE_TOO_LARGE || closed == TC_INVALID_CONFIG);
    tc_status opened = tc_open(TC_ABI_VERSION, NOWHERE, lengths[i], &other);
    CHECK(opened == TC_INVALID_ARGUMENT || opened == TC_INVALID_CONFIG);
    IS(opened, tc_configure(cache, NOWHERE, lengths[i]));
  }
  IS(TC_VALUE_TOO_LARGE, tc_set(cache, "alice", 5, NOWHERE, SIZE_MAX, NULL, NULL));
}

void value_too_large(void) {
  tc_cache *cache = open_sqlite(NULL);
  char *value = calloc(1, (1 << 20) + 1);
  IS(TC_OK, tc_set(cache, "alice", 5, value, 1 << 20, NULL, NULL));
  IS(TC_VALUE_TOO_LARGE, tc_set(cache, "alice", 5, value, (1 << 20) + 1, NULL, NULL));
  CHECK(says("1048577") && says("1048576"));
  IS(TC_VALUE_TOO_LARGE, tc_set_async(cache, "alice", 5, value, (1 << 20) + 1, NULL, never_called, NULL));
  free(value);
}

void empty_key(void) { key_refused_by_every_function(open_sqlite(NULL), "", 0); }

void key_too_long(void) {
  static char key[65537];
  memset(key, 'k', sizeof key);
  tc_cache *cache = open_sqlite(", \"limits\": {\"max_key_bytes\": 65536}");
  key_refused_by_every_function(cache, key, sizeof key);
  IS(TC_OK, tc_set(cache, key, sizeof key - 1, "token", 5, NULL, NULL));
  cache = open_sqlite(NULL);
  IS(TC_INVALID_ARGUMENT, tc_set(cache, key, 1025, "token", 5, NULL, NULL));
  CHECK(says("1025") && says("1024"));
  IS(TC_OK, tc_set(cache, key, 1024, "token", 5, NULL, NULL));
}

void key_of_any_bytes(void) {
  static const struct {
    const char *bytes;
    size_t length;
  } keys[] = {{"\0", 1},     {"a\0b", 3},    {"a\0c", 3}, {"a", 1},        {"\n\r\t", 3},
              {"{}", 2},     {"{a}b", 4},    {"\xff", 1}, {"\xff\xfe", 2}, {"\xc3\x28", 2},
              {"%s%n", 4},   {"' OR 1 --", 9}, {"_", 1},  {"__tokencache", 12}};
  enum { COUNT = sizeof keys / sizeof *keys };
  tc_cache *cache = open_sqlite(NULL);
  for (int i = 0; i < COUNT; i++) IS(TC_OK, tc_set(cache, keys[i].bytes, keys[i].length, &i, sizeof i, NULL, NULL));
  for (int round = 0; round < 2; round++) {
    for (int i = 0, got = -1; i < COUNT; i++) {
      size_t length = 0;
      IS(TC_OK, tc_get_into(cache, keys[i].bytes, keys[i].length, &got, sizeof got, &length));
      CHECK(length == sizeof got && got == i);
    }
    IS(TC_OK, tc_clear(cache));
  }
  key_refused_by_every_function(cache, "__tokencache:", 13);
}

static tc_status set_with(tc_cache *cache, const void *options) {
  return tc_set(cache, "alice", 5, "token", 5, options, NULL);
}

void options_of_another_size(void) {
  tc_cache *cache = open_sqlite(NULL);
  struct {
    tc_set_options known;
    uint64_t unknown;
  } larger = {.known = {.struct_size = sizeof larger}};
  IS(TC_OK, set_with(cache, &larger));
  larger.unknown = 1;
  IS(TC_INVALID_ARGUMENT, set_with(cache, &larger));
  size_t sizes[] = {0, 1, 7, 4097, SIZE_MAX};
  for (int i = 0; i < 5; i++) IS(TC_INVALID_ARGUMENT, set_with(cache, &sizes[i]));
  size_t smallest = sizeof smallest;
  IS(TC_OK, set_with(cache, &smallest));
}

static void heard(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data, (void)level, (void)target, (void)message;
}

void unknown_flag(void) {
  tc_cache *cache = open_sqlite(NULL);
  tc_set_options options = TC_SET_OPTIONS;
  for (int bit = 1; bit < 64; bit++) {
    options.flags = (uint64_t)1 << bit | TC_LOCAL_ONLY;
    IS(TC_INVALID_ARGUMENT, set_with(cache, &options));
    IS(TC_INVALID_ARGUMENT, tc_set_async(cache, "alice", 5, "token", 5, &options, never_called, NULL));
  }
  tc_level levels[] = {0, -1, 5, INT32_MAX, INT32_MIN};
  for (int i = 0; i < 5; i++) IS(TC_INVALID_ARGUMENT, tc_on_log(cache, levels[i], heard, NULL, NULL));
}

static void outputs_refused(tc_cache *cache, void *place) {
  char buffer[8];
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_INVALID_ARGUMENT, tc_get(cache, "alice", 5, place));
  IS(TC_INVALID_ARGUMENT, tc_peek(cache, "alice", 5, place));
  IS(TC_INVALID_ARGUMENT, tc_get_into(cache, "alice", 5, buffer, sizeof buffer, place));
  IS(TC_INVALID_ARGUMENT, tc_stats(cache, place));
  IS(TC_INVALID_ARGUMENT, tc_open(TC_ABI_VERSION, "{\"version\": 1}", TC_NTS, place));
}

void null_output(void) {
  tc_cache *cache = open_sqlite(NULL);
  size_t length = 77;
  outputs_refused(cache, NULL);
  IS(TC_OK, tc_set(cache, "alice", 5, "token", 5, NULL, NULL));
  IS(TC_INVALID_ARGUMENT, tc_get_into(cache, "alice", 5, NULL, 1, &length));
  CHECK(length == 77);
  IS(TC_INVALID_ARGUMENT, tc_get_async(cache, "alice", 5, NULL, NULL));
}

void buffer_too_small(void) {
  tc_cache *cache = open_sqlite(NULL);
  char buffer[] = "untouched";
  size_t length = 0;
  IS(TC_OK, set(cache, "alice", "token"));
  for (size_t room = 0; room < 5; room++) {
    IS(TC_BUFFER_TOO_SMALL, tc_get_into(cache, "alice", 5, buffer, room, &length));
    CHECK(length == 5 && strcmp(buffer, "untouched") == 0);
  }
  IS(TC_BUFFER_TOO_SMALL, tc_get_into(cache, "alice", 5, NULL, 0, &length));
}

void misaligned_output(void) {
  tc_cache *cache = open_sqlite(NULL);
  _Alignas(16) char place[64] = {0};
  for (int i = 1; i < 8; i++) {
    outputs_refused(cache, place + i);
    IS(TC_INVALID_ARGUMENT, tc_set(cache, "alice", 5, "token", 5, NULL, (void *)(place + i)));
    IS(TC_INVALID_ARGUMENT, set_with(cache, place + i));
  }
}

void impossible_time(void) {
  tc_cache *cache = open_sqlite(NULL);
  int64_t times[] = {-2, INT64_MIN, INT64_MAX, 1000000000000000};
  for (int i = 0; i < 4; i++) {
    tc_set_options ttl = TC_SET_OPTIONS, end = TC_SET_OPTIONS, sliding = TC_SET_OPTIONS;
    ttl.ttl_ms = end.expires_at_ms = sliding.sliding_ms = times[i];
    IS(TC_INVALID_ARGUMENT, set_with(cache, &ttl));
    CHECK(says("ttl_ms"));
    IS(TC_INVALID_ARGUMENT, set_with(cache, &end));
    IS(TC_INVALID_ARGUMENT, set_with(cache, &sliding));
  }
  IS(TC_NOT_FOUND, get(cache, "alice"));
}
