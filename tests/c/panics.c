/* A host in whose library a panic is planted somewhere: every call ends with a status, every completion comes, and when
 * the panics are over all is as ever. The argument is the document; where its L2 is a file, that goes away and comes
 * back. */
#include "check.h"

static _Atomic int panics, completions;

static tc_status may(tc_status status) {
  bool is_known = status >= TC_OK || status == TC_PANIC || (status <= TC_L2_UNREACHABLE && status >= TC_L2_FULL);
  if (!is_known) printf("%s: %s\n", tc_status_name(status), tc_last_error());
  CHECK(is_known);
  if (status == TC_PANIC) {
    CHECK(says("defect"));
    panics++;
  }
  return status;
}

static void done(void *user_data, const tc_result *result) {
  (void)user_data;
  if (result->status == TC_PANIC) panics++;
  completions++;
}

static tc_decision decide(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)failure, (void)delay_ms;
  return TC_DECISION_DEFAULT;
}

static void *read_alice(void *cache) {
  may(get(cache, "alice"));
  return NULL;
}

static void every_call(tc_cache *cache) {
  char buffer[64];
  size_t length;
  const tc_value *value = NULL;
  tc_set_options swap = TC_SET_OPTIONS;
  may(set(cache, "alice", "token"));
  may(get(cache, "alice"));
  may(tc_clear(cache));
  start_threads(4, read_alice, cache);
  join_threads();
  may(tc_get_into(cache, "alice", 5, buffer, sizeof buffer, &length));
  if (may(tc_get(cache, "alice", 5, &value)) >= 0 && value != NULL) {
    swap.expected_version = value->version;
    tc_value_release(value);
    may(tc_set(cache, "alice", 5, "swapped", 7, &swap, NULL));
  }
  may(tc_touch(cache, "alice", 5));
  may(set(cache, "bob", "token"));
  may(tc_remove(cache, "bob", 3));
  int before = completions, accepted = 0;
  may(tc_clear(cache));
  accepted += may(tc_get_async(cache, "alice", 5, done, NULL)) == TC_OK;
  accepted += may(tc_set_async(cache, "carol", 5, "token", 5, NULL, done, NULL)) == TC_OK;
  accepted += may(tc_remove_async(cache, "carol", 5, done, NULL)) == TC_OK;
  UNTIL(completions - before == accepted);
  value = NULL;
  may(tc_stats(cache, &value));
  tc_value_release(value);
}

static void for_a_while(tc_cache *cache, int64_t ms) {
  for (int64_t end = now_ms() + ms; now_ms() < end;) every_call(cache);
}

static bool is_level(tc_cache *cache) {
  return set(cache, "alice", "last") == TC_OK && tc_clear(cache) == TC_OK && get(cache, "alice") == TC_OK &&
         strcmp(got_text, "last") == 0;
}

void run(void) {
  tc_cache *cache = NULL;
  while (may(tc_open(TC_ABI_VERSION, chosen, TC_NTS, &cache)) == TC_PANIC) continue;
  bool is_file = strstr(chosen, "\"sqlite\"") != NULL;
  IS(TC_OK, tc_on_retry(cache, decide, NULL, NULL));
  for_a_while(cache, 300);
  if (is_file) {
    UNTIL(set(cache, "alice", "token") == TC_OK);
    l2_goes_away();
    /* Nobody writes it again: it is brought there. */
    UNTIL(may(set(cache, "owed", "token")) == TC_DEGRADED);
    for_a_while(cache, 300);
    l2_comes_back();
  }
  for_a_while(cache, 300);
  UNTIL(is_level(cache));
  UNTIL(tc_flush(cache, 1000) == TC_OK);
  if (is_file) IS(TC_OK, get(cache, "owed"));
  /* A point that is seldom reached may still cost one of these its link. */
  for (int i = 0; i < 3; i++) {
    UNTIL(is_level(cache) && tc_remove(cache, "alice", 5) == TC_OK && get(cache, "alice") == TC_NOT_FOUND);
  }
  IS(TC_OK, tc_close(cache));
  printf("%d calls and completions were told of a panic\n", panics);
}
