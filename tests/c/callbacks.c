/* The application's say when L2 fails, its ear for the log, and the end of both. */
#include "check.h"

#define PATIENT \
  ", \"resilience\": {\"deadline_ms\": 60000, \"max_attempts\": 4, \"backoff_ms\": 1, \"max_backoff_ms\": 1," \
  " \"circuit_failures\": 0}"

typedef struct {
  tc_decision decision;
  _Atomic int calls, destroyed, inside;
  _Atomic bool blocks;
  int repaired_at;
  tc_cache *cache;
} application;

static tc_decision decide(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  application *mine = user_data;
  mine->inside++;
  CHECK(mine->destroyed == 0);
  CHECK(failure->operation == TC_OPERATION_GET && failure->status == TC_L2_UNREACHABLE);
  CHECK(failure->key_len == 5 && memcmp(failure->key, "alice", 5) == 0);
  CHECK((int)failure->attempt == mine->calls + 1 && failure->max_attempts == 4);
  CHECK(failure->elapsed_ms + failure->remaining_ms <= 60000 && failure->remaining_ms > 0);
  CHECK(*failure->message != 0 && *delay_ms <= 1);
  if (mine->cache) IS(TC_L2_UNREACHABLE, get(mine->cache, "other"));
  if (mine->repaired_at == (int)failure->attempt) l2_comes_back();
  mine->calls++;
  UNTIL(!mine->blocks);
  *delay_ms = 0;
  mine->inside--;
  return mine->decision;
}

static void destroy(void *user_data) {
  application *mine = user_data;
  CHECK(mine->inside == 0);
  mine->destroyed++;
}

/* How often it is asked about one read while L2 is away. */
static int asked(tc_cache *cache, tc_decision decision) {
  application mine = {.decision = decision};
  IS(TC_OK, tc_on_retry(cache, decide, &mine, destroy));
  IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  IS(TC_OK, tc_on_retry(cache, NULL, NULL, NULL));
  UNTIL(mine.destroyed == 1);
  return mine.calls;
}

static void the_say_of_the_application(tc_cache *cache) {
  l2_goes_away();
  IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  CHECK(asked(cache, TC_DECISION_RETRY) == 4);
  CHECK(asked(cache, TC_DECISION_GIVE_UP) == 1);
  CHECK(asked(cache, TC_DECISION_DEFAULT) == 4);
  CHECK(asked(cache, 77) == 4);
  CHECK(asked(cache, INT32_MIN) == 4);
  l2_comes_back();
}

static void a_callback_that_repairs(tc_cache *cache) {
  application mine = {.decision = TC_DECISION_RETRY, .repaired_at = 2, .cache = cache};
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, tc_on_retry(cache, decide, &mine, destroy));
  l2_goes_away();
  IS(TC_OK, get(cache, "alice"));
  CHECK(mine.calls == 2 && mine.destroyed == 0);
  IS(TC_OK, tc_on_retry(cache, NULL, NULL, NULL));
  UNTIL(mine.destroyed == 1);
}

static void *read_alice(void *cache) {
  IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  return NULL;
}

static void destroyed_after_the_last_call(tc_cache *cache) {
  application mine = {.decision = TC_DECISION_GIVE_UP, .blocks = true};
  IS(TC_OK, tc_remove(cache, "alice", 5));
  l2_goes_away();
  IS(TC_OK, tc_on_retry(cache, decide, &mine, destroy));
  start_threads(1, read_alice, cache);
  UNTIL(mine.calls == 1);
  IS(TC_OK, tc_on_retry(cache, NULL, NULL, NULL));
  CHECK(mine.destroyed == 0);
  mine.blocks = false;
  join_threads();
  UNTIL(mine.destroyed == 1);
  l2_comes_back();
}

static void heard(void *user_data, tc_level level, const char *target, const char *message) {
  application *mine = user_data;
  CHECK(level >= TC_LEVEL_ERROR && level <= TC_LEVEL_DEBUG && *target != 0 && *message != 0);
  CHECK(mine->destroyed == 0);
  mine->inside++;
  mine->calls++;
  UNTIL(!mine->blocks);
  mine->inside--;
}

static void records_of_the_log(tc_cache *cache) {
  application all = {.blocks = true}, none = {0};
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, heard, &all, destroy));
  IS(TC_INVALID_ARGUMENT, tc_on_log(cache, 0, heard, &none, destroy));
  IS(TC_INVALID_ARGUMENT, tc_on_log(cache, 5, heard, &none, destroy));
  l2_goes_away();
  IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  UNTIL(all.calls == 1);
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_ERROR, heard, &none, destroy));
  IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  CHECK(all.destroyed == 0);
  all.blocks = false;
  UNTIL(all.destroyed == 1);
  CHECK(all.calls >= 4);
  l2_comes_back();
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_ERROR, NULL, NULL, NULL));
  UNTIL(none.destroyed == 1);
  CHECK(none.calls == 0);
}

static tc_cache *other;

static void close_other(void *user_data, tc_level level, const char *target, const char *message) {
  application *mine = user_data;
  (void)level, (void)target, (void)message;
  if (mine->calls == 0) IS(TC_OK, tc_close(other));
  mine->calls++;
}

/* On the thread that runs the log callbacks of all caches, for which a close waits elsewhere. */
static void a_log_callback_that_closes_another_cache(tc_cache *cache) {
  application mine = {0};
  other = open_cache(", \"resilience\": {\"close_ms\": 600000}");
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, close_other, &mine, destroy));
  IS(TC_OK, get(cache, "alice"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "alice"));
  UNTIL(mine.calls > 0);
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_ERROR, NULL, NULL, NULL));
  UNTIL(mine.destroyed == 1);
}

static void never_called_and_yet_destroyed(tc_cache *cache) {
  application retry = {0}, next = {0}, log = {0}, refused = {0};
  IS(TC_INVALID_HANDLE, tc_on_retry(NULL, decide, &refused, destroy));
  IS(TC_INVALID_HANDLE, tc_on_log(NULL, TC_LEVEL_DEBUG, heard, &refused, destroy));
  CHECK(refused.destroyed == 0);
  IS(TC_OK, tc_on_retry(cache, decide, &retry, destroy));
  IS(TC_OK, tc_on_retry(cache, decide, &next, destroy));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, heard, &log, destroy));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, NULL, NULL, NULL));
  UNTIL(retry.destroyed == 1 && log.destroyed == 1);
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, get(cache, "alice"));
  CHECK(next.destroyed == 0);
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, NULL, NULL, NULL));
  IS(TC_OK, tc_close(cache));
  UNTIL(next.destroyed == 1);
  CHECK(retry.calls + next.calls + log.calls + refused.calls + refused.destroyed == 0);
  CHECK(retry.destroyed == 1 && log.destroyed == 1);
}

void run(void) {
  tc_cache *cache = open_cache(PATIENT);
  if (has_l2()) {
    the_say_of_the_application(cache);
    a_callback_that_repairs(cache);
    destroyed_after_the_last_call(cache);
    records_of_the_log(cache);
    IS(TC_OK, set(cache, "alice", "token"));
    a_log_callback_that_closes_another_cache(cache);
  }
  never_called_and_yet_destroyed(cache);
}
