/* Children that exit, that fork again, that serve, and that a callback made. */
#include <signal.h>
#include <unistd.h>

#include "fork.h"

enum { WORKERS = 4, REQUESTS = 250 };

static tc_cache *cache;
static _Atomic int returned;

static void fork_at_exit(void) {
  pid_t pid = forked();
  if (pid == 0) {
    end_cut_off(cache);
    _exit(get(cache, "parent") == TC_OK ? 0 : 1);
  }
  reap(pid);
}

static void only_exits(void) {
  const tc_value *held = NULL;
  IS(TC_OK, set(cache, "parent", "parent"));
  IS(TC_OK, tc_get(cache, "parent", TC_NTS, &held));
  for (int way = 0; way < 4; way++) {
    pid_t pid = forked();
    if (pid == 0) {
      if (way & 2) tc_value_release(held);
      way & 1 ? exit(0) : _exit(0);
    }
    reap(pid);
    use(cache, "parent");
  }
  pid_t pid = forked();
  if (pid == 0) {
    end_cut_off(cache);
    IS(TC_OK, get(cache, "parent"));
    CHECK(atexit(fork_at_exit) == 0);
    pid_t gone = forked();
    if (gone == 0) _exit(0);
    reap(gone);
    exit(0);
  }
  reap(pid);
  CHECK(memcmp(held->data, "parent", held->len) == 0);
  tc_value_release(held);
}

static void forks_again(void) {
  for (int touches = 0; touches < 2; touches++) {
    pid_t pid = forked();
    if (pid == 0) {
      if (touches) {
        end_cut_off(cache);
        use(cache, "child");
      }
      pid_t grandchild = forked();
      if (grandchild == 0) {
        end_cut_off(cache);
        use(cache, "grandchild");
        IS(TC_OK, tc_close(cache));
        exit(0);
      }
      bool is_cut_off = reap(grandchild);
      end_cut_off(cache);
      use(cache, is_cut_off ? "grandchild" : "child");
      exit(0);
    }
    if (!reap(pid)) IS(TC_OK, get(cache, "grandchild"));
  }
}

static void *first_use(void *nothing) {
  tc_status status = set(cache, "thread", "thread");
  /* The parent's own tending may have been inside SQLite for as long as a fork waits. */
  if (status != TC_OK) end_cut_off(cache);
  IS(TC_OK, status);
  return nothing;
}

/* The child's first use of the handle makes a fresh inside, which is as exposed to a fork as anything. */
static void forks_while_its_threads_begin(void) {
  for (int round = 0; round < 100; round++) {
    pid_t pid = forked();
    if (pid == 0) {
      start_threads(2, first_use, NULL);
      for (int grandchild = 0; grandchild < 3; grandchild++) {
        pid_t pid = forked();
        if (pid == 0) {
          end_cut_off(cache);
          use(cache, "grandchild");
          _exit(0);
        }
        reap(pid);
      }
      join_threads();
      exit(0);
    }
    reap(pid);
  }
}

static void name(char (*key)[32], int worker, int request) { snprintf(*key, sizeof *key, "%d.%d", worker, request); }

static void workers_serve(void) {
  pid_t workers[WORKERS];
  char key[32];
  for (int worker = 0; worker < WORKERS; worker++) {
    workers[worker] = forked();
    if (workers[worker] != 0) continue;
    end_cut_off(cache);
    for (int request = 0; request < REQUESTS; request++) {
      name(&key, worker, request);
      IS(TC_OK, set(cache, key, key));
      IS(TC_OK, get(cache, key));
      CHECK(strcmp(got_text, key) == 0);
    }
    IS(TC_OK, tc_close(cache));
    exit(0);
  }
  for (int worker = 0; worker < WORKERS; worker++) {
    if (reap(workers[worker])) continue;
    for (int request = 0; request < REQUESTS; request++) {
      name(&key, worker, request);
      IS(TC_OK, get(cache, key));
      CHECK(strcmp(got_text, key) == 0);
    }
  }
}

/* As for the application, which blocks one. */
static bool is_blocked(int number) {
  sigset_t blocked;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
  return sigismember(&blocked, number);
}

static void fork_here(void) {
  pid_t pid = forked();
  if (pid == 0) {
    CHECK(!is_blocked(SIGTERM) && !is_blocked(SIGALRM) && is_blocked(SIGUSR2));
    end_cut_off(cache);
    use(cache, "child of a callback");
    _exit(0);
  }
  CHECK(is_blocked(SIGTERM) && is_blocked(SIGUSR2));
  reap(pid);
  returned++;
}

static void done(void *user_data, const tc_result *result) {
  (void)user_data, (void)result;
  fork_here();
}

static tc_decision retry(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)failure, (void)delay_ms;
  l2_comes_back();
  fork_here();
  return TC_DECISION_RETRY;
}

static void record(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data, (void)level, (void)target, (void)message;
  if (returned == 2) fork_here();
}

static void callbacks_fork(void) {
  IS(TC_OK, tc_get_async(cache, "parent", TC_NTS, done, NULL));
  UNTIL(returned == 1);
  IS(TC_OK, tc_on_retry(cache, retry, NULL, NULL));
  l2_goes_away();
  IS(TC_OK, set(cache, "repaired", "by a callback"));
  CHECK(returned == 2);
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, record, NULL, NULL));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "repaired"));
  UNTIL(returned == 3);
}

void run(void) {
  sigset_t ours;
  give_up_after(300);
  sigemptyset(&ours);
  sigaddset(&ours, SIGUSR2);
  CHECK(pthread_sigmask(SIG_BLOCK, &ours, NULL) == 0);
  cache = open_sqlite(NULL);
  only_exits();
  forks_again();
  forks_while_its_threads_begin();
  workers_serve();
  callbacks_fork();
  use(cache, "parent");
  IS(TC_OK, tc_close(cache));
}
