/* Callbacks that use, close or block the cache that calls them, and those that are null. */
#include "rows.h"

typedef struct {
  tc_cache *cache;
  void (*act)(tc_cache *);
  _Atomic int calls, destroyed;
} application;

static tc_decision on_retry(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  application *mine = user_data;
  (void)failure, (void)delay_ms;
  mine->act(mine->cache);
  mine->calls++;
  return TC_DECISION_GIVE_UP;
}

static void on_done(void *user_data, const tc_result *result) {
  application *mine = user_data;
  (void)result;
  mine->act(mine->cache);
  mine->calls++;
}

static void on_log(void *user_data, tc_level level, const char *target, const char *message) {
  application *mine = user_data;
  (void)level, (void)target, (void)message;
  if (mine->calls == 0) mine->act(mine->cache);
  mine->calls++;
}

static void destroy(void *user_data) { ((application *)user_data)->destroyed++; }

static tc_decision never_asked(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)failure, (void)delay_ms;
  failed(__FILE__, __LINE__, "nothing failed");
}

static void use(tc_cache *cache) {
  tc_set_options options = TC_SET_OPTIONS;
  options.flags = TC_LOCAL_ONLY;
  IS(TC_OK, tc_set(cache, "inside", 6, "token", 5, &options, NULL));
  IS(TC_OK, get(cache, "inside"));
  IS(TC_OK, get(cache, "alice"));
}

void callback_uses_the_cache(void) {
  application retry = {.cache = open_sqlite(NULL), .act = use}, done = retry, log = retry;
  tc_cache *cache = retry.cache;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_on_retry(cache, on_retry, &retry, NULL));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, on_log, &log, NULL));
  IS(TC_OK, tc_get_async(cache, "bob", 3, on_done, &done));
  UNTIL(done.calls == 1);
  l2_goes_away();
  IS(TC_L2_UNREACHABLE, get(cache, "bob"));
  CHECK(retry.calls == 1);
  UNTIL(log.calls >= 1);
  l2_comes_back();
  IS(TC_OK, tc_close(cache));
}

static void close_it(tc_cache *cache) {
  IS(TC_OK, tc_close(cache));
  IS(TC_INVALID_HANDLE, tc_close(cache));
  /* Not before the callback returns. */
  IS(TC_OK, get(cache, "alice"));
}

/* A close that waited for its own callback would take this long. */
#define SLOW_CLOSE ", \"resilience\": {\"close_ms\": 600000}"

void callback_closes_the_cache(void) {
  application done = {.cache = open_sqlite(SLOW_CLOSE), .act = close_it};
  IS(TC_OK, tc_on_retry(done.cache, never_asked, &done, destroy));
  IS(TC_OK, set(done.cache, "alice", "token"));
  IS(TC_OK, tc_get_async(done.cache, "alice", 5, on_done, &done));
  UNTIL(done.calls == 1 && get(done.cache, "alice") == TC_INVALID_HANDLE && done.destroyed == 1);

  application log = {.cache = open_sqlite(SLOW_CLOSE), .act = close_it};
  IS(TC_OK, get(log.cache, "alice"));
  IS(TC_OK, tc_on_log(log.cache, TC_LEVEL_DEBUG, on_log, &log, destroy));
  IS(TC_OK, tc_clear(log.cache));
  IS(TC_OK, get(log.cache, "alice"));
  UNTIL(log.calls >= 1 && get(log.cache, "alice") == TC_INVALID_HANDLE && log.destroyed == 1);

  application retry = {.cache = open_sqlite(SLOW_CLOSE), .act = close_it};
  IS(TC_OK, get(retry.cache, "alice"));
  IS(TC_OK, tc_on_retry(retry.cache, on_retry, &retry, destroy));
  l2_goes_away();
  tc_status status = get(retry.cache, "bob");
  CHECK(status == TC_L2_UNREACHABLE || status == TC_CLOSED);
  UNTIL(get(retry.cache, "alice") == TC_INVALID_HANDLE && retry.destroyed == 1);
  l2_comes_back();
}

static _Atomic bool blocks = true;

static void block(tc_cache *cache) {
  (void)cache;
  UNTIL(!blocks);
}

static void *read_another(void *cache) {
  static _Atomic int number;
  char key[16];
  /* Readers of one key would share a read. */
  snprintf(key, sizeof key, "key %d", number++);
  int64_t begin = now_ms();
  IS(TC_L2_UNREACHABLE, get(cache, key));
  CHECK(now_ms() - begin >= 500 && now_ms() - begin < 5000);
  return NULL;
}

void callback_blocks(void) {
  enum { MORE_THAN_CALLBACK_THREADS = 12 };
  application retry = {.cache = open_sqlite(", \"resilience\": {\"deadline_ms\": 500, \"circuit_failures\": 0}"), .act = block};
  application done = {.cache = retry.cache, .act = use};
  tc_cache *cache = retry.cache;
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_on_retry(cache, on_retry, &retry, NULL));
  l2_goes_away();
  start_threads(MORE_THAN_CALLBACK_THREADS, read_another, cache);
  for (int64_t end = now_ms() + 600; now_ms() < end;) use(cache);
  join_threads();
  CHECK(blocks && retry.calls == 0);
  blocks = false;
  l2_comes_back();
  IS(TC_OK, tc_get_async(cache, "bob", 3, on_done, &done));
  UNTIL(done.calls == 1);
  IS(TC_OK, tc_close(cache));
}

void callback_is_null(void) {
  application retry = {.cache = open_sqlite(NULL), .act = use};
  tc_cache *cache = retry.cache;
  IS(TC_OK, tc_on_retry(cache, on_retry, &retry, NULL));
  IS(TC_OK, tc_on_retry(cache, NULL, &retry, NULL));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, on_log, &retry, NULL));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, NULL, &retry, NULL));
  l2_goes_away();
  IS(TC_L2_UNREACHABLE, get(cache, "bob"));
  l2_comes_back();
  IS(TC_INVALID_ARGUMENT, tc_get_async(cache, "bob", 3, NULL, &retry));
  IS(TC_OK, tc_close(cache));
  CHECK(retry.calls == 0);
}
