/* A fork while L2 is away and something is owed to it: in memory ("memory") it is the parent's alone, in a file
 * ("file") everybody's who shares it. */
#include <unistd.h>

#include "fork.h"

enum { OWED = 20 };

static tc_cache *cache;

static uint64_t owed(void) {
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  char *text = strndup(stats->data, stats->len), *found = strstr(text, "\"owed_entries\":");
  tc_value_release(stats);
  CHECK(found != NULL);
  uint64_t entries = strtoull(found + strlen("\"owed_entries\":"), NULL, 10);
  free(text);
  return entries;
}

static void expect_degraded(const char *key, const char *text) {
  const tc_value *value = NULL;
  IS(TC_DEGRADED, tc_get(cache, key, TC_NTS, &value));
  CHECK(value->len == strlen(text) && memcmp(value->data, text, value->len) == 0);
  tc_value_release(value);
}

static _Noreturn void child(bool is_shared, int round) {
  const tc_value *value = NULL;
  CHECK(owed() == (uint64_t)(is_shared ? OWED + 1 + round : 0));
  if (is_shared) {
    expect_degraded("parent 0", "parent");
    IS(TC_NOT_FOUND, tc_get(cache, "removed", TC_NTS, &value));
  } else {
    IS(TC_L2_UNREACHABLE, tc_get(cache, "parent 0", TC_NTS, &value));
  }
  char key[32];
  snprintf(key, sizeof key, "child %d", round);
  IS(TC_DEGRADED, set(cache, key, "child"));
  expect_degraded(key, "child");
  CHECK(owed() == (uint64_t)(is_shared ? OWED + 2 + round : 1));
  /* It says how it ends: closed, or just gone. */
  if (round % 2) IS(TC_DEGRADED, tc_close(cache));
  if (round < 2) _exit(0);
  exit(0);
}

void run(void) {
  char members[600], key[32];
  bool is_shared = strcmp(chosen, "file") == 0;
  give_up_after(300);
  snprintf(members, sizeof members,
           ", \"resilience\": {\"deadline_ms\": 60000, \"close_ms\": 100, \"circuit_failures\": 0, \"max_attempts\": 1%s%s%s}",
           is_shared ? ", \"journal_path\": \"" : "", is_shared ? folder : "", is_shared ? "/owed.db\"" : "");
  cache = open_sqlite(members);
  IS(TC_OK, set(cache, "removed", "before"));
  l2_goes_away();
  for (int number = 0; number < OWED; number++) {
    snprintf(key, sizeof key, "parent %d", number);
    IS(TC_DEGRADED, set(cache, key, "parent"));
  }
  IS(TC_DEGRADED, tc_remove(cache, "removed", TC_NTS));
  for (int round = 0; round < 4; round++) {
    pid_t pid = forked();
    if (pid == 0) child(is_shared, round);
    CHECK(!reap(pid));
    CHECK(owed() == (uint64_t)(OWED + 1 + (is_shared ? round + 1 : 0)));
    expect_degraded("parent 0", "parent");
  }
  l2_comes_back();
  IS(TC_OK, tc_flush(cache, 60000));
  IS(TC_OK, tc_clear(cache));
  for (int number = 0; number < OWED; number++) {
    snprintf(key, sizeof key, "parent %d", number);
    IS(TC_OK, get(cache, key));
  }
  IS(TC_NOT_FOUND, get(cache, "removed"));
  for (int round = 0; round < 4; round++) {
    snprintf(key, sizeof key, "child %d", round);
    IS(is_shared ? TC_OK : TC_NOT_FOUND, get(cache, key));
  }
  IS(TC_OK, tc_close(cache));
}
