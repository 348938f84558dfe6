/* Documents that are refused. */
#include "rows.h"

static void refused(const char *document, size_t length) {
  tc_cache *untouched = (tc_cache *)77, *refused = untouched, *open = open_l1(NULL);
  IS(TC_INVALID_CONFIG, tc_open(TC_ABI_VERSION, document, length, &refused));
  CHECK(refused == untouched);
  IS(TC_INVALID_CONFIG, tc_configure(open, document, length));
  IS(TC_OK, set(open, "alice", "token"));
  char *kept = strdup(tc_last_error());
  IS(TC_OK, tc_close(open));
  CHECK(strcmp(tc_last_error(), kept) == 0);
  free(kept);
}

void document_not_utf8(void) {
  refused("{\"version\": 1, \"name\": \"\xff\"}", TC_NTS);
  CHECK(says("UTF-8") && says("24"));
  refused("\0\0\0\0", 4);
  refused("\xef\xbb\xbf\xff", 4);
}

void document_too_deep(void) {
  enum { DEEP = 10000, HEAD = 23 };
  static char document[HEAD + DEEP];
  for (const char *bracket = "[{"; *bracket; bracket++) {
    memset(document, *bracket, sizeof document);
    refused(document, sizeof document);
    memcpy(document, "{\"version\": 1, \"name\": ", HEAD);
    refused(document, sizeof document);
  }
  for (int i = 0; i + 5 <= (int)sizeof document; i += 5) memcpy(document + i, "{\"a\":", 5);
  refused(document, sizeof document - HEAD % 5);
}

void document_unknown_member(void) {
  refused("{\"version\": 1, \"l1\": {\"capcity_bytes\": 1000000}}", TC_NTS);
  CHECK(says("/l1/capcity_bytes") && says("did you mean capacity_bytes?"));
  refused("{\"version\": 1, \"loging\": {}}", TC_NTS);
  CHECK(says("/loging") && says("logging"));
}
