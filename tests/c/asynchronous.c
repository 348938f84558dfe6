/* Calls that answer by a callback: exactly once, on another thread, never inside the call. */
#include <pthread.h>

#include "check.h"

enum { MANY = 10000 };

typedef struct {
  _Atomic int times;
  tc_status status;
  uint64_t version;
  const tc_value *value;
} answer;

static answer answers[MANY];
static pthread_t caller;
static _Atomic int answered;

static void done(void *user_data, const tc_result *result) {
  answer *mine = user_data;
  CHECK(!pthread_equal(pthread_self(), caller));
  CHECK(result->message != NULL && (result->status < 0) == (*result->message != 0));
  mine->status = result->status;
  mine->version = result->version;
  mine->value = tc_value_retain(result->value);
  mine->times++;
  answered++;
}

static answer *ask(void) {
  answers[0] = (answer){0};
  return &answers[0];
}

static answer *after(tc_status accepted) {
  IS(TC_OK, accepted);
  UNTIL(answers[0].times == 1);
  return &answers[0];
}

static void each_kind(tc_cache *cache) {
  char key[] = "alice", text[] = "token";
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = TC_NEVER;
  answer *got = ask();
  IS(TC_OK, tc_set_async(cache, key, 5, text, 5, &options, done, got));
  memset(key, 'x', 5);
  memset(text, 'x', 5);
  memset(&options, 0xff, sizeof options);
  after(TC_OK);
  IS(TC_OK, got->status);
  CHECK(got->version != 0 && got->value == NULL);
  uint64_t version = got->version;

  after(tc_get_async(cache, "alice", 5, done, ask()));
  IS(TC_OK, got->status);
  CHECK(got->value->len == 5 && memcmp(got->value->data, "token", 5) == 0);
  CHECK(got->value->version == version && got->value->expires_at_ms == 0);
  tc_value_release(got->value);

  options = (tc_set_options)TC_SET_OPTIONS;
  options.expected_version = version + 1;
  after(tc_set_async(cache, "alice", 5, "other", 5, &options, done, ask()));
  IS(TC_CONFLICT, got->status);
  CHECK(got->version == 0);

  after(tc_remove_async(cache, "alice", 5, done, ask()));
  IS(TC_OK, got->status);
  after(tc_get_async(cache, "alice", 5, done, ask()));
  IS(TC_NOT_FOUND, got->status);
  CHECK(got->value == NULL);
}

static void what_is_refused_is_never_answered(tc_cache *cache) {
  answered = 0;
  IS(TC_INVALID_ARGUMENT, tc_get_async(cache, "alice", 5, NULL, NULL));
  IS(TC_INVALID_ARGUMENT, tc_get_async(cache, NULL, 5, done, ask()));
  IS(TC_INVALID_HANDLE, tc_get_async(NULL, "alice", 5, done, ask()));
  IS(TC_VALUE_TOO_LARGE, tc_set_async(cache, "alice", 5, "", SIZE_MAX / 2, NULL, done, ask()));
  after(tc_get_async(cache, "alice", 5, done, ask()));
  CHECK(answered == 1);
}

/* Accepts until the cache is closed; answers how many were accepted. */
static int start_many(tc_cache *cache, int count) {
  answered = 0;
  memset(answers, 0, sizeof answers);
  for (int i = 0; i < count; i++) {
    char key[16], text[32];
    int length = snprintf(key, sizeof key, "key %d", i % 100);
    snprintf(text, sizeof text, "token %d", i);
    switch (i % 3) {
      case 0:
        IS(TC_OK, tc_set_async(cache, key, length, text, strlen(text), NULL, done, &answers[i]));
        break;
      case 1:
        IS(TC_OK, tc_get_async(cache, key, length, done, &answers[i]));
        break;
      default:
        IS(TC_OK, tc_remove_async(cache, key, length, done, &answers[i]));
    }
  }
  return count;
}

static void each_was_answered_once(int count, bool may_be_closed) {
  UNTIL(answered >= count);
  for (int i = 0; i < count; i++) {
    CHECK(answers[i].times == 1);
    CHECK(answers[i].status >= 0 || (may_be_closed && answers[i].status == TC_CLOSED));
    tc_value_release(answers[i].value);
  }
  CHECK(answered == count);
}

static void ten_thousand(tc_cache *cache) {
  int count = start_many(cache, often(MANY));
  each_was_answered_once(count, false);
  IS(TC_OK, tc_flush(cache, 60000));
}

static void close_with_calls_pending(void) {
  tc_cache *cache = open_cache(", \"resilience\": {\"deadline_ms\": 60000, \"close_ms\": 20}");
  int count = start_many(cache, often(MANY));
  tc_status status = tc_close(cache);
  CHECK(status == TC_OK || status == TC_DEGRADED);
  IS(TC_INVALID_HANDLE, tc_get_async(cache, "alice", 5, done, &answers[0]));
  each_was_answered_once(count, true);
}

void run(void) {
  caller = pthread_self();
  tc_cache *cache = open_cache(NULL);
  each_kind(cache);
  what_is_refused_is_never_answered(cache);
  ten_thousand(cache);
  IS(TC_OK, tc_close(cache));
  close_with_calls_pending();
}
