/* Sets that are merged with what others have made of the same value. */
#include "check.h"

/* A document with the tokens that `present` names, one letter each. */
static char *document(char *text, size_t size, const char *present) {
  size_t used = (size_t)snprintf(text, size, "{\"AccessToken\":{");
  for (const char *name = present; *name; name++) {
    used += (size_t)snprintf(text + used, size - used,
                             "%s\"k-%c\":{\"home_account_id\":\"a.h\",\"environment\":\"e\",\"client_id\":\"c\","
                             "\"realm\":\"h\",\"target\":\"%c/read\",\"secret\":\"made-up-%c\",\"cached_at\":\"1800000000\","
                             "\"expires_on\":\"4070908800\"}",
                             name == present ? "" : ",", *name, *name, *name);
  }
  snprintf(text + used, size - used, "}}");
  return text;
}

static tc_status merge(tc_cache *cache, const tc_value *base, const char *present, const tc_value **merged) {
  char text[8192];
  document(text, sizeof text, present);
  return tc_set_merged(cache, "alice", TC_NTS, base, text, strlen(text), NULL, NULL, merged);
}

static int holds(const tc_value *value, char name) {
  char text[8192] = "", secret[32];
  CHECK(value->len < sizeof text);
  memcpy(text, value->data, value->len);
  snprintf(secret, sizeof secret, "made-up-%c\"", name);
  return strstr(text, secret) != NULL;
}

static void both_stay(tc_cache *cache, tc_cache *other) {
  const tc_value *base = NULL, *first = NULL, *second = NULL, *found = NULL;
  IS(TC_OK, merge(cache, NULL, "ab", NULL));
  IS(TC_OK, tc_get(cache, "alice", TC_NTS, &base));
  /* Nobody came between: the bytes are stored as they are. */
  IS(TC_OK, merge(cache, base, "abc", &first));
  CHECK(holds(first, 'a') && holds(first, 'c'));
  /* Made of the same base, and without a. */
  IS(TC_OK, merge(other, base, "bd", &second));
  CHECK(!holds(second, 'a') && holds(second, 'b') && holds(second, 'c') && holds(second, 'd'));
  IS(TC_OK, tc_get(cache, "alice", TC_NTS, &found));
  CHECK(found->version == second->version && found->len == second->len);
  CHECK(memcmp(found->data, second->data, found->len) == 0);
  const tc_value *all[] = {base, first, second, found};
  for (size_t i = 0; i < 4; i++) tc_value_release(all[i]);
  IS(TC_OK, tc_remove(cache, "alice", TC_NTS));
}

static void removed_is_removed(tc_cache *cache) {
  const tc_value *base = NULL, *merged = NULL;
  uint64_t version = 77;
  char text[8192];
  IS(TC_OK, merge(cache, NULL, "ab", NULL));
  IS(TC_OK, tc_get(cache, "alice", TC_NTS, &base));
  IS(TC_OK, tc_remove(cache, "alice", TC_NTS));
  document(text, sizeof text, "ab");
  IS(TC_OK, tc_set_merged(cache, "alice", TC_NTS, base, text, strlen(text), NULL, &version, &merged));
  /* L2 remembers that it was removed, memory alone does not. */
  CHECK(has_l2() ? version == 0 && merged == NULL : version != 0 && merged != NULL);
  if (has_l2()) IS(TC_NOT_FOUND, get(cache, "alice"));
  tc_value_release(base);
  tc_value_release(merged);
  IS(TC_OK, tc_remove(cache, "alice", TC_NTS));
}

static void refused(tc_cache *cache) {
  const tc_value *merged = NULL, *odd = NULL;
  tc_set_options options = TC_SET_OPTIONS;
  char text[8192];
  const char *wrong[] = {"hello", "null", "[]", "\xEF\xBB\xBF{}", "{\"AccessToken\":[]}", "{\"Account\":{\"a\":1}}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    IS(TC_INVALID_ARGUMENT,
       tc_set_merged(cache, "bob", 3, NULL, wrong[i], strlen(wrong[i]), NULL, NULL, &merged));
    CHECK(strstr(tc_last_error(), "not an MSAL token cache") != NULL && merged == NULL);
  }
  document(text, sizeof text, "a");
  IS(TC_INVALID_ARGUMENT, tc_set_merged(cache, "bob", 3, NULL, NULL, 3, NULL, NULL, NULL));
  IS(TC_INVALID_ARGUMENT, tc_set_merged(cache, NULL, 3, NULL, text, strlen(text), NULL, NULL, NULL));
  IS(TC_INVALID_HANDLE, tc_set_merged(NULL, "bob", 3, NULL, text, strlen(text), NULL, NULL, NULL));
  options.expected_version = 1;
  IS(TC_INVALID_ARGUMENT, tc_set_merged(cache, "bob", 3, NULL, text, strlen(text), &options, NULL, NULL));
  IS(TC_NOT_FOUND, get(cache, "bob"));
  /* Something else lies there. */
  IS(TC_OK, set(cache, "bob", "hello"));
  IS(TC_L2_PROTOCOL, tc_set_merged(cache, "bob", 3, NULL, text, strlen(text), NULL, NULL, &merged));
  CHECK(merged == NULL);
  IS(TC_OK, tc_get(cache, "bob", 3, &odd));
  IS(TC_INVALID_ARGUMENT, tc_set_merged(cache, "bob", 3, odd, text, strlen(text), NULL, NULL, &merged));
  tc_value_release(odd);
  IS(TC_OK, tc_remove(cache, "bob", 3));
  /* Nothing at all is a document too. */
  IS(TC_OK, tc_set_merged(cache, "bob", 3, NULL, NULL, 0, NULL, NULL, NULL));
  IS(TC_OK, get(cache, "bob"));
}

static tc_cache *shared_between[2];
static int next_letter;

static void *add_letters(void *cache) {
  for (int round = 0; round < 3; round++) {
    const tc_value *base = NULL, *merged = NULL;
    char present[64] = "", text[16384];
    tc_get(cache, "many", 4, &base);
    char mine = "abcdefghijklmnopqrstuvwxyz"[__sync_fetch_and_add(&next_letter, 1)];
    for (char name = 'a'; base && name <= 'z'; name++) {
      if (holds(base, name)) present[strlen(present)] = name;
    }
    present[strlen(present)] = mine;
    document(text, sizeof text, present);
    UNTIL(tc_set_merged(cache, "many", 4, base, text, strlen(text), NULL, NULL, &merged) == TC_OK);
    CHECK(holds(merged, mine));
    tc_value_release(base);
    tc_value_release(merged);
  }
  return NULL;
}

static void nothing_is_lost(void) {
  start_threads(4, add_letters, shared_between[0]);
  start_threads(4, add_letters, shared_between[1]);
  join_threads();
  const tc_value *all = NULL;
  IS(TC_OK, tc_get(shared_between[1], "many", 4, &all));
  for (char name = 'a'; name < 'a' + 24; name++) CHECK(holds(all, name));
  tc_value_release(all);
}

void run(void) {
  tc_cache *cache = open_cache(NULL);
  tc_cache *other = has_l2() ? open_cache(NULL) : cache;
  both_stay(cache, other);
  removed_is_removed(cache);
  refused(cache);
  shared_between[0] = cache;
  shared_between[1] = other;
  nothing_is_lost();
  if (other != cache) IS(TC_OK, tc_close(other));
  IS(TC_OK, tc_close(cache));
}
