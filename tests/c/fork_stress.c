/* Forks while other threads hold every lock of the library in turn. */
#include <unistd.h>

#include "fork.h"

enum { FORKS = 200 };

static tc_cache *cache, *stale;
static _Atomic bool is_over;
static _Atomic int operations, under_way;

static void done(void *user_data, const tc_result *result) {
  (void)user_data, (void)result;
  under_way--;
}

static void write_and_read(void) {
  set(cache, "a", "thread");
  get(cache, "a");
  tc_clear(cache);
}

/* So many bytes lie apart from a key of such a length, which takes a cell beside others. */
static void write_much(void) {
  static const char key[] = "00000000-0000-0000-0000-000000000000.00000000-0000-0000-0000-000000000000";
  static char bytes[20000];
  size_t length = 1000 + (size_t)operations * 97 % 19000;
  IS(TC_OK, tc_set(cache, key, TC_NTS, bytes, length, NULL, NULL));
  if (operations % 3 == 0) tc_remove(cache, key, TC_NTS);
}

static void open_and_close(void) { tc_close(operations % 8 ? open_l1(NULL) : open_sqlite(NULL)); }

static void ask_for_stats(void) {
  const tc_value *stats = NULL;
  if (tc_stats(cache, &stats) == TC_OK) tc_value_release(stats);
}

static void call_later(void) {
  UNTIL(under_way < 100);
  under_way++;
  IS(TC_OK, tc_get_async(cache, "a", TC_NTS, done, NULL));
}

static void use_stale_handle(void) { IS(TC_INVALID_HANDLE, get(stale, "a")); }

static void *work(void *body) {
  while (!is_over) {
    (*(void (**)(void))body)();
    operations++;
  }
  return NULL;
}

static _Noreturn void child(void) {
  end_cut_off(cache);
  IS(TC_INVALID_HANDLE, get(stale, "a"));
  use(cache, "child");
  IS(TC_OK, tc_close(open_l1(NULL)));
  IS(TC_OK, tc_close(open_sqlite(NULL)));
  IS(TC_OK, tc_close(cache));
  _exit(0);
}

void run(void) {
  static void (*bodies[])(void) = {write_and_read, write_much, open_and_close, ask_for_stats, call_later, use_stale_handle};
  enum { BODIES = sizeof bodies / sizeof *bodies };
  int cut_off = 0;
  give_up_after(600);
  cache = open_sqlite(NULL);
  stale = open_l1(NULL);
  IS(TC_OK, tc_close(stale));
  for (int thread = 0; thread < 8; thread++) start_threads(1, work, &bodies[thread % BODIES]);
  for (int fork = 0; fork < FORKS; fork++) {
    int before = operations;
    UNTIL(operations > before + 8);
    pid_t pid = forked();
    if (pid == 0) child();
    cut_off += reap(pid);
  }
  is_over = true;
  join_threads();
  UNTIL(under_way == 0);
  use(cache, "parent");
  IS(TC_OK, tc_close(cache));
  printf("%d forks, %d operations beside them, %d children without SQLite\n", FORKS, operations, cut_off);
  CHECK(cut_off <= FORKS / 4);
}
