/* An L2 that cannot serve is left alone: calls are answered at once, nobody is asked, a child begins anew. */
#include <unistd.h>

#include "fork.h"

static _Atomic int asked, warned_of_opening, warned_of_closing;

static tc_decision ask(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)delay_ms;
  CHECK(failure->status == TC_L2_UNREACHABLE);
  asked++;
  return TC_DECISION_DEFAULT;
}

static void hear(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data;
  if (level == TC_LEVEL_WARN && strcmp(target, "l2") == 0) {
    warned_of_opening += strstr(message, "The circuit of L2 opened, because ") != NULL;
    warned_of_closing += strstr(message, "The circuit of L2 closed: L2 answers again, after ") != NULL;
  }
}

static bool stats_say(tc_cache *cache, const char *words) {
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  char *text = strndup(stats->data, stats->len);
  bool has = strstr(text, words) != NULL;
  free(text);
  tc_value_release(stats);
  return has;
}

static void suspended(void *user_data, const tc_result *result) {
  CHECK(result->status == TC_L2_SUSPENDED && strstr(result->message, "its circuit is open since ") != NULL);
  ++*(_Atomic int *)user_data;
}

static void owed(void *user_data, const tc_result *result) {
  IS(TC_DEGRADED, result->status);
  ++*(_Atomic int *)user_data;
}

static void is_open(tc_cache *cache) {
  _Atomic int answered = 0;
  IS(TC_OK, get(cache, "near"));
  IS(TC_L2_SUSPENDED, get(cache, "far"));
  CHECK(says("because 5 attempts in a row failed") && says("tokens.db"));
  IS(TC_L2_SUSPENDED, tc_touch(cache, "far", 3));
  IS(TC_OK, tc_get_async(cache, "far", 3, suspended, &answered));
  IS(TC_DEGRADED, set(cache, "owed", "token"));
  IS(TC_DEGRADED, get(cache, "owed"));
  IS(TC_DEGRADED, tc_remove(cache, "owed", 4));
  IS(TC_NOT_FOUND, get(cache, "owed"));
  IS(TC_OK, tc_set_async(cache, "owed", 4, "token", 5, NULL, owed, &answered));
  IS(TC_OK, tc_remove_async(cache, "owed too", 8, owed, &answered));
  UNTIL(answered == 3);
  CHECK(asked == 5 && stats_say(cache, "\"state\":\"open\"") && stats_say(cache, "\"opened\":1"));
}

void run(void) {
  give_up_after(280);
  tc_cache *cache = open_sqlite(", \"resilience\": {\"deadline_ms\": 60000, \"max_attempts\": 1}");
  IS(TC_OK, tc_on_retry(cache, ask, NULL, NULL));
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_WARN, hear, NULL, NULL));
  IS(TC_OK, set(cache, "near", "token"));
  IS(TC_OK, set(cache, "far", "token"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "near"));
  l2_goes_away();
  for (int i = 0; i < 5; i++) IS(TC_L2_UNREACHABLE, get(cache, "far"));
  is_open(cache);

  pid_t child = forked();
  if (child == 0) {
    end_cut_off(cache);
    CHECK(stats_say(cache, "\"state\":\"closed\""));
    IS(TC_L2_UNREACHABLE, get(cache, "far"));
    _exit(0);
  }
  reap(child);

  l2_comes_back();
  UNTIL(get(cache, "far") == TC_OK);
  UNTIL(stats_say(cache, "\"state\":\"closed\""));
  UNTIL(warned_of_opening == 1 && warned_of_closing == 1);
  IS(TC_OK, tc_close(cache));
}
