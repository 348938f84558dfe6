/* Hits in L1 and nothing else, on this thread: as many as the second argument says. */
#include "check.h"

void run(void) {
  long hits = atol(chosen), found = 0;
  bool is_shared = getenv("TOKENCACHE_TEST_SQLITE") != NULL;
  tc_cache *cache = is_shared ? open_sqlite(NULL) : open_l1(NULL);
  const tc_value *value = NULL;
  IS(TC_OK, set(cache, "key", "token"));
  for (long i = 0; i < hits; i++) {
    if (tc_get(cache, "key", 3, &value) != TC_OK) continue;
    found += value->tier == TC_TIER_L1;
    tc_value_release(value);
  }
  CHECK(found == hits);
  IS(TC_OK, tc_close(cache));
}
