/* Open, configure, flush, close; and what the library says of itself. */
#include <pthread.h>

#include "check.h"

static void opened_by_a_document(void) {
  tc_cache *untouched = (tc_cache *)77, *cache = untouched;
  IS(TC_ABI_MISMATCH, tc_open(TC_ABI_VERSION + 1, "{\"version\": 1}", TC_NTS, &cache));
  IS(TC_INVALID_ARGUMENT, tc_open(TC_ABI_VERSION, NULL, 0, &cache));
  IS(TC_INVALID_ARGUMENT, tc_open(TC_ABI_VERSION, "{\"version\": 1}", TC_NTS, NULL));
  IS(TC_INVALID_CONFIG, tc_open(TC_ABI_VERSION, "", 0, &cache));
  IS(TC_INVALID_CONFIG, tc_open(TC_ABI_VERSION, "{\"version\": 2}", TC_NTS, &cache));
  CHECK(says("version"));
  CHECK(cache == untouched);
  IS(TC_OK, tc_open(TC_ABI_VERSION, "{\"version\": 1} and what is behind", 14, &cache));
  IS(TC_OK, tc_close(cache));
}

static void a_file_that_cannot_be_used(void) {
  tc_cache *untouched = (tc_cache *)77, *cache = untouched;
  const char *document =
      "{\"version\": 1, \"l2\": {\"kind\": \"sqlite\", \"path\": \"/dev/null/tokens.db\"},"
      " \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"}}";
  IS(TC_L2_UNREACHABLE, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  CHECK(cache == untouched && says("/dev/null/tokens.db"));
}

static void configured_while_open(tc_cache *cache) {
  tc_cache *small = open_l1(NULL);
  IS(TC_OK, tc_configure(small, "{\"version\": 1, \"limits\": {\"max_value_bytes\": 4}}", TC_NTS));
  IS(TC_VALUE_TOO_LARGE, set(small, "alice", "token"));
  IS(TC_INVALID_CONFIG, tc_configure(small, "{\"version\": 1, \"limits\": {\"max_value_bytes\": 0}}", TC_NTS));
  IS(TC_VALUE_TOO_LARGE, set(small, "alice", "token"));
  IS(TC_OK, tc_configure(small, "{\"version\": 1}", TC_NTS));
  IS(TC_OK, set(small, "alice", "token"));
  IS(TC_OK, tc_close(small));
  if (!has_l2()) return;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_INVALID_CONFIG, tc_configure(cache, "{\"version\": 1}", TC_NTS));
  CHECK(says("/l2/kind"));
  IS(TC_OK, get(cache, "alice"));
}

static void shared_and_kept(tc_cache *one) {
  tc_cache *other = open_cache(NULL);
  IS(TC_OK, set(one, "alice", "token"));
  IS(has_l2() ? TC_OK : TC_NOT_FOUND, get(other, "alice"));
  IS(TC_OK, tc_flush(one, 60000));
  IS(TC_OK, tc_close(one));
  IS(TC_INVALID_HANDLE, tc_close(one));
  IS(TC_INVALID_HANDLE, get(one, "alice"));
  IS(TC_OK, tc_close(other));
  one = open_cache(NULL);
  IS(has_l2() ? TC_OK : TC_NOT_FOUND, get(one, "alice"));
  IS(TC_OK, tc_close(one));
}

static void as_many_as_there_are_places(void) {
  static tc_cache *caches[1000];
  const char *document = "{\"version\": 1, \"l1\": {\"capacity_bytes\": 65536}}";
  int count = 0;
  tc_status status = TC_OK;
  while (count < 1000 && (status = tc_open(TC_ABI_VERSION, document, TC_NTS, &caches[count])) == TC_OK) count++;
  IS(TC_OUT_OF_MEMORY, status);
  CHECK(count == 256 && says("256"));
  IS(TC_OK, tc_close(caches[--count]));
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &caches[count]));
  for (; count >= 0; count--) IS(TC_OK, tc_close(caches[count]));
}

static pthread_key_t ending;
static tc_cache *used_to_the_last;

/* Comes again at the end as often as the C library lets it: what the library has of this thread is gone before. */
static void use(void *round) {
  const tc_value *value = NULL;
  pthread_setspecific(ending, (char *)round + 1);
  IS(TC_OK, tc_set(used_to_the_last, "ending", 6, "token", 5, NULL, NULL));
  IS(TC_OK, tc_get(used_to_the_last, "ending", 6, &value));
  tc_value_release(value);
  IS(TC_NOT_FOUND, tc_get(used_to_the_last, "nothing", 7, &value));
  IS(TC_OK, tc_remove(used_to_the_last, "ending", 6));
}

static void *end(void *round) {
  use(round);
  return NULL;
}

static void used_by_threads_that_are_ending(tc_cache *cache) {
  static char rounds[16];
  used_to_the_last = cache;
  CHECK(pthread_key_create(&ending, use) == 0);
  start_threads(1, end, rounds);
  join_threads();
}

static void *fail_elsewhere(void *unused) {
  CHECK(*tc_last_error() == 0);
  IS(TC_INVALID_ARGUMENT, tc_remove(NULL, "alice", 0));
  return unused;
}

static void what_it_says_of_itself(tc_cache *cache) {
  const tc_value *json = NULL;
  CHECK(strcmp(tc_status_name(TC_OK), "TC_OK") == 0);
  CHECK(strcmp(tc_status_name(TC_L2_BUSY), "TC_L2_BUSY") == 0);
  CHECK(*tc_status_name(12345) != 0 && *tc_version() >= '0' && *tc_version() <= '9');
  IS(TC_INVALID_HANDLE, tc_clear(NULL));
  start_threads(1, fail_elsewhere, NULL);
  join_threads();
  CHECK(says("handle"));
  IS(TC_OK, tc_stats(cache, &json));
  CHECK(json->len > 2 && ((const char *)json->data)[0] == '{' && json->tier == TC_TIER_NONE && json->version == 0);
  tc_value_release(json);
}

void run(void) {
  opened_by_a_document();
  a_file_that_cannot_be_used();
  tc_cache *cache = open_cache(NULL);
  what_it_says_of_itself(cache);
  configured_while_open(cache);
  used_by_threads_that_are_ending(cache);
  shared_and_kept(cache);
  as_many_as_there_are_places();
}
