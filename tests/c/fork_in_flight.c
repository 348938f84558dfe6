/* Forks while threads, asynchronous calls, retry and log callbacks are under way. */
#include <unistd.h>

#include "fork.h"

enum { ROUNDS = 40 };

static tc_cache *cache;
static _Atomic bool is_over;
static _Atomic int accepted, answered, retries, records;

static tc_decision retry(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)failure;
  *delay_ms = 0;
  retries++;
  return TC_DECISION_RETRY;
}

static void record(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data, (void)level, (void)target, (void)message;
  records++;
}

static void *calls(void *nothing) {
  while (!is_over) {
    /* L2 is there or it is away. */
    set(cache, "thread", "thread");
    tc_clear(cache);
    get(cache, "thread");
  }
  return nothing;
}

static void done(void *user_data, const tc_result *result) {
  (void)user_data;
  CHECK(result->status >= TC_OK || result->status <= TC_L2_UNREACHABLE);
  answered++;
}

static void *asynchronous_calls(void *nothing) {
  while (!is_over) {
    UNTIL(accepted - answered < 50);
    IS(TC_OK, tc_get_async(cache, "nobody", TC_NTS, done, NULL));
    IS(TC_OK, tc_set_async(cache, "later", TC_NTS, "x", 1, NULL, done, NULL));
    accepted += 2;
  }
  return nothing;
}

static _Noreturn void child(bool is_away) {
  end_cut_off(cache);
  records = retries = 0;
  if (is_away) {
    IS(TC_DEGRADED, set(cache, "child", "child"));
    CHECK(retries > 0);
  } else {
    use(cache, "child");
    IS(TC_OK, tc_clear(cache));
    IS(TC_OK, get(cache, "child"));
  }
  UNTIL(records > 0);
  IS(is_away ? TC_DEGRADED : TC_OK, tc_close(cache));
  IS(TC_INVALID_HANDLE, get(cache, "child"));
  exit(0);
}

void run(void) {
  int cut_off = 0;
  give_up_after(300);
  cache = open_sqlite(", \"resilience\": {\"deadline_ms\": 60000, \"circuit_failures\": 0, \"close_ms\": 200}");
  IS(TC_OK, tc_on_retry(cache, retry, NULL, NULL));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, record, NULL, NULL));
  start_threads(2, calls, NULL);
  start_threads(1, asynchronous_calls, NULL);
  for (int round = 0; round < ROUNDS; round++) {
    bool is_away = round % 2;
    int before = is_away ? retries : answered;
    if (is_away) l2_goes_away();
    UNTIL((is_away ? retries : answered) > before);
    pid_t pid = forked();
    if (pid == 0) child(is_away);
    cut_off += reap(pid);
    if (is_away) l2_comes_back();
  }
  is_over = true;
  join_threads();
  UNTIL(answered == accepted);
  use(cache, "parent");
  IS(TC_OK, tc_flush(cache, 60000));
  IS(TC_OK, tc_close(cache));
  printf("%d forks with calls in flight, %d children without SQLite\n", ROUNDS, cut_off);
  CHECK(cut_off <= ROUNDS / 4);
}
