/* Opened and closed, as often as the second argument says, with and without use: threads, descriptors and resident
 * memory stay where they are. TOKENCACHE_TEST_SCENE says where the journal is, TOKENCACHE_TEST_REDIS where L2 is. */
#include <malloc.h>

#include "check.h"

enum { PARTS = 10 };

static char document[2048];

static void describe(void) {
  const char *scene = getenv("TOKENCACHE_TEST_SCENE"), *url = getenv("TOKENCACHE_TEST_REDIS");
  char l2[600], journal[600] = "";
  CHECK(scene != NULL);
  if (url) snprintf(l2, sizeof l2, "\"kind\": \"redis\", \"url\": \"%s\"", url);
  else snprintf(l2, sizeof l2, "\"kind\": \"sqlite\", \"path\": \"%s/tokens.db\"", folder);
  if (strcmp(scene, "file") == 0) snprintf(journal, sizeof journal, ", \"journal_path\": \"%s/owed.db\"", folder);
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {%s}, \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"},"
           " \"resilience\": {\"deadline_ms\": 60000, \"close_ms\": 60000, \"circuit_failures\": 0%s}}",
           l2, journal);
}

static void done(void *user_data, const tc_result *result) { (void)user_data, (void)result; }

static void open_and_close(int number) {
  tc_cache *cache = NULL;
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  if (number % 2) {
    IS(TC_OK, set(cache, "alice", "token"));
    IS(TC_OK, tc_clear(cache));
    IS(TC_OK, get(cache, "alice"));
    IS(TC_OK, tc_get_async(cache, "bob", TC_NTS, done, NULL));
    IS(TC_OK, tc_remove(cache, "alice", TC_NTS));
  }
  IS(TC_OK, tc_close(cache));
}

/* Without what the allocator keeps of what was freed. */
static long kept_kib(void) {
  malloc_trim(0);
  return resident_kib();
}

void run(void) {
  int count = atoi(chosen), files[PARTS], running[PARTS];
  long kib[PARTS];
  describe();
  for (int part = 0; part < PARTS; part++) {
    for (int number = 0; number < count / PARTS; number++) open_and_close(number);
    files[part] = open_files();
    running[part] = threads();
    kib[part] = kept_kib();
    if (getenv("TOKENCACHE_TEST_SHOW")) fprintf(stderr, "%d %d %ld\n", running[part], files[part], kib[part]);
  }
  /* Somebody may still be tidying what was closed last. */
  UNTIL(open_files() <= files[0] && threads() <= running[0] && kept_kib() - kib[0] < 1024);
  printf("%d times: %d to %d threads, %d to %d descriptors, %ld to %ld KiB\n", count, running[0], running[PARTS - 1],
         files[0], files[PARTS - 1], kib[0], kib[PARTS - 1]);
}
