/* Little memory, few files, small stacks; and what must not add up. */
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "rows.h"

static tc_cache *memory, *shared;

static void *visit(void *unused) {
  static _Atomic unsigned number;
  char key[32];
  snprintf(key, sizeof key, "key %u", number++ % 100);
  IS(TC_OK, set(memory, key, "token"));
  IS(TC_OK, get(memory, key));
  IS(TC_OK, set(shared, "alice", "token"));
  IS(TC_OK, get(shared, "alice"));
  IS(TC_INVALID_ARGUMENT, tc_remove(memory, "", 0));
  return unused;
}

static void threads_come_and_go(int count) {
  for (; count > 0; count -= 8) {
    start_threads(8, visit, NULL);
    join_threads();
  }
}

void thousand_threads(void) {
  memory = open_l1(NULL);
  shared = open_sqlite(NULL);
  threads_come_and_go(200);
  long before = resident_kib();
  threads_come_and_go(1000);
  UNTIL(resident_kib() - before < 2048);
  IS(TC_OK, tc_close(memory));
  IS(TC_OK, tc_close(shared));
}

static void limit(int what, long soft) {
  struct rlimit limit;
  CHECK(getrlimit(what, &limit) == 0);
  limit.rlim_cur = soft;
  CHECK(setrlimit(what, &limit) == 0);
}

static long mapped_bytes(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
  fclose(file);
  return pages * 4096;
}

static void odd_capacities(void) {
  tc_cache *cache = NULL;
  const char *refused[] = {"0", "1", "65535", "-1", "1.5", "1e30", "\"1\"", "null"};
  char document[128];
  for (int i = 0; i < 8; i++) {
    snprintf(document, sizeof document, "{\"version\": 1, \"l1\": {\"capacity_bytes\": %s}}", refused[i]);
    IS(TC_INVALID_CONFIG, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
    CHECK(says("capacity_bytes"));
  }
  cache = open_l1(", \"l1\": {\"capacity_bytes\": 65536}");
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, get(cache, "alice"));
  IS(TC_OK, tc_close(cache));
  cache = open_l1(", \"l1\": {\"capacity_bytes\": 9007199254740991}");
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, get(cache, "alice"));
  IS(TC_OK, tc_close(cache));
}

static void never_called(void *user_data, const tc_result *result) {
  (void)user_data, (void)result;
  failed(__FILE__, __LINE__, "a refused call is not answered");
}

static void bit_by_bit(void) {
  static char value[2000];
  char key[96];
  memory = open_l1(", \"l1\": {\"capacity_bytes\": 2000000000}");
  IS(TC_OK, set(memory, "alice", "token"));
  limit(RLIMIT_AS, mapped_bytes() + (32 << 20));
  int refused = 0;
  for (unsigned number = 0; refused < 10000; number++) {
    /* As long as MSAL's. */
    snprintf(key, sizeof key, "%073u", number);
    tc_status status = tc_set(memory, key, TC_NTS, value, 1 + number % sizeof value, NULL, NULL);
    CHECK(status == TC_OK || status == TC_OUT_OF_MEMORY);
    refused += status != TC_OK;
    /* Nothing that is smaller fits either by then. */
    if (number == 10000000) failed(__FILE__, __LINE__, "memory does not run out");
  }
  IS(TC_OK, get(memory, "alice"));
  limit(RLIMIT_AS, (long)RLIM_INFINITY);
  IS(TC_OK, set(memory, "bob", "token"));
  IS(TC_OK, tc_close(memory));
}

void out_of_memory(void) {
  enum { LARGE = 256 << 20, KEPT = 100 << 20 };
  odd_capacities();
  bit_by_bit();
  const char *members = ", \"limits\": {\"max_value_bytes\": 536870912}, \"l1\": {\"capacity_bytes\": 2000000000}";
  char patient[256];
  snprintf(patient, sizeof patient, "%s, \"resilience\": {\"deadline_ms\": 60000}", members);
  memory = open_l1(members);
  shared = open_sqlite(patient);
  const char *value = mmap(NULL, LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(value != MAP_FAILED);
  IS(TC_OK, tc_set(shared, "kept", 4, value, KEPT, NULL, NULL));
  IS(TC_OK, tc_clear(shared));
  limit(RLIMIT_AS, mapped_bytes() + (32 << 20));

  IS(TC_OUT_OF_MEMORY, tc_set(memory, "large", 5, value, LARGE, NULL, NULL));
  IS(TC_OUT_OF_MEMORY, tc_set_async(memory, "large", 5, value, LARGE, NULL, never_called, NULL));
  CHECK(tc_set(shared, "large", 5, value, LARGE, NULL, NULL) < 0);
  CHECK(get(shared, "kept") < 0 && *tc_last_error() != 0);
  IS(TC_OK, set(memory, "alice", "token"));
  IS(TC_OK, get(memory, "alice"));
  IS(TC_OK, set(shared, "alice", "token"));
  IS(TC_OK, get(shared, "alice"));

  limit(RLIMIT_AS, (long)RLIM_INFINITY);
  size_t length = 0;
  IS(TC_BUFFER_TOO_SMALL, tc_get_into(shared, "kept", 4, NULL, 0, &length));
  CHECK(length == KEPT);
  IS(TC_OK, tc_set(memory, "large", 5, value, LARGE, NULL, NULL));
  IS(TC_OK, tc_close(memory));
  IS(TC_OK, tc_close(shared));
}

static void *read_shared(void *unused) {
  for (int i = 0; i < 50; i++) {
    tc_status status = get(shared, "bob");
    CHECK(status == TC_NOT_FOUND || status <= TC_L2_UNREACHABLE);
  }
  return unused;
}

void out_of_files(void) {
  tc_cache *cache = (tc_cache *)77;
  char document[1024];
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/other.db\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"}}",
           folder);
  shared = open_sqlite(", \"resilience\": {\"deadline_ms\": 500, \"circuit_failures\": 0}");
  IS(TC_OK, set(shared, "alice", "token"));
  limit(RLIMIT_NOFILE, 3);
  tc_status status = tc_open(TC_ABI_VERSION, document, TC_NTS, &cache);
  CHECK(status <= TC_L2_UNREACHABLE && cache == (tc_cache *)77 && says("other.db"));
  memory = open_l1(NULL);
  IS(TC_OK, set(memory, "alice", "token"));
  IS(TC_OK, get(memory, "alice"));
  start_threads(8, read_shared, NULL);
  join_threads();
  IS(TC_OK, get(shared, "alice"));
  limit(RLIMIT_NOFILE, 256);
  IS(TC_OK, set(shared, "bob", "token"));
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  IS(TC_OK, tc_close(cache));
  IS(TC_OK, tc_close(shared));
}

void small_stack(void) {
  pthread_attr_t small;
  pthread_t thread;
  memory = open_l1(NULL);
  shared = open_sqlite(NULL);
  CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 * 1024) == 0);
  for (int i = 0; i < 8; i++) {
    /* A connection is opened here, too. */
    IS(TC_OK, tc_close(shared));
    shared = open_sqlite(NULL);
    CHECK(pthread_create(&thread, &small, visit, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
  }
}

static void open_and_close(int count, tc_cache *(*open)(const char *)) {
  for (; count > 0; count--) {
    tc_cache *cache = open(NULL);
    IS(TC_OK, set(cache, "alice", "token"));
    IS(TC_OK, tc_close(cache));
  }
}

/* Without what the allocator keeps of what was freed. */
static long kept_kib(void) {
  malloc_trim(0);
  return resident_kib();
}

void opened_ten_thousand_times(void) {
  open_and_close(1000, open_l1);
  open_and_close(50, open_sqlite);
  int files = open_files(), running = threads();
  long before = kept_kib();
  open_and_close(10000, open_l1);
  open_and_close(300, open_sqlite);
  /* Somebody may still be tidying what was closed last. */
  UNTIL(open_files() <= files && threads() <= running && kept_kib() - before < 1024);
}
