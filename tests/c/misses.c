/* Reads that L1 does not answer and L2 is not asked for, because its circuit is open: as many as the second argument
 * says. Nothing is owed in the journal's file. */
#include "check.h"

void run(void) {
  long misses = atol(chosen);
  char document[1024];
  tc_cache *cache = NULL;
  const tc_value *value = NULL;
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:1\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"},"
           " \"resilience\": {\"circuit_failures\": 1, \"journal_path\": \"%s/owed.db\"}}",
           folder);
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  UNTIL(tc_get(cache, "key", 3, &value) == TC_L2_SUSPENDED);
  for (long i = 0; i < misses; i++) IS(TC_L2_SUSPENDED, tc_get(cache, "key", 3, &value));
  IS(TC_OK, tc_close(cache));
}
