#include "check.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

static std::filesystem::path folder;
static std::string tier;

int main(int argc, char** argv) {
  if (argc != 3) not_so(__FILE__, __LINE__, "the arguments are a folder and a tier");
  folder = argv[1];
  tier = argv[2];
  run();
  CHECK(witness::alive == 0);
}

void not_so(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: not so: %s; last error: %s\n", file, line, what, tc_last_error());
  // Not exit: other threads may be in the middle of anything.
  _exit(1);
}

#ifdef __cpp_exceptions
void fails(const char* file, int line, const char* what, tc_status expected, const std::function<void()>& call) {
  try {
    call();
  } catch (const tokencache::error& error) {
    if (error.status() == expected && *error.what() != 0) return;
    std::fprintf(stderr, "%s: %s\n", tc_status_name(error.status()), error.what());
  }
  not_so(file, line, what);
}
#endif

int often(int number) { return std::getenv("TOKENCACHE_TEST_SLOW") ? number / 20 + 1 : number; }

bool has_l2() { return tier == "sqlite"; }

std::string document(const std::string& members) {
  std::string l2;
  if (has_l2()) {
    // A folder of its own, so that its name can stand for an L2 that is there or not.
    std::filesystem::create_directory(folder / "store");
    l2 = R"(, "encryption": {"algorithm": "none"}, "l2": {"kind": "sqlite", "path": ")" +
         (folder / "store" / "tokens.db").string() + R"("})";
  }
  return R"({"version": 1, "logging": {"to": "none"})" + l2 + members + "}";
}

tokencache::cache open_cache(const std::string& members) { return tokencache::cache::open(document(members)); }

void l2_goes_away() { std::filesystem::rename(folder / "store", folder / "away"); }

void l2_comes_back() { std::filesystem::rename(folder / "away", folder / "store"); }
