/* A first program: open, set, get; closed where its owner ends.
 *
 *     ln -sf libtokencache.so target/release/libtokencache.so.1
 *     c++ -std=c++17 examples/cpp/hello.cpp -I include -I bindings/cpp -L target/release -ltokencache -o target/hello
 *     LD_LIBRARY_PATH=target/release target/hello
 */
#include <iostream>

#include "tokencache.hpp"

constexpr auto config = R"({
  "version": 1,
  "l2": {"kind": "sqlite", "path": "hello.db"},
  "encryption": {"algorithm": "none"}
})";

int main() try {
  auto cache = tokencache::cache::open(config);

  const auto stored = cache.set("alice", "made-up-token", {std::chrono::hours(1)});
  if (stored.status == TC_DEGRADED) std::cout << "L2 is away; it is owed the write.\n";

  if (const auto entry = cache.get("alice")) {
    if (entry->degraded()) std::cout << "L2 is away; this was true when it was last asked.\n";
    std::cout << "alice: " << entry->view() << ", from L" << entry->tier() << '\n';
  } else {
    std::cout << "alice must sign in.\n";
  }

  if (cache.close() == TC_DEGRADED) std::cout << "Closed with writes still owed to L2.\n";
} catch (const tokencache::error& error) {
  std::cerr << tc_status_name(error.status()) << ". " << error.what() << '\n';
  return 1;
}
