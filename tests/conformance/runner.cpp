/// The conformance script through tokencache.hpp. README.md describes it.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tokencache.hpp"

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::system_clock;
using fields = std::vector<std::string>;

constexpr std::size_t many = 64;

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::string decode(const std::string& field) {
  if (field == "-") return "";
  if (field.compare(0, 2, "x:") == 0) return from_hex(field.substr(2));
  const std::size_t digits = field.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string::npos || field[digits] != '*') return field;
  const std::string pattern = from_hex(field.substr(digits + 1));
  std::string out(std::stoul(field), '\0');
  for (std::size_t i = 0; i < out.size(); i++) out[i] = pattern[i % pattern.size()];
  return out;
}

std::string encode(std::string_view data) {
  if (data.empty()) return "-";
  std::string out = "x:";
  std::uint64_t hash = 0xcbf29ce484222325;
  char text[40];
  for (const char c : data) {
    const auto byte = static_cast<unsigned char>(c);
    hash = (hash ^ byte) * 0x100000001b3;
    std::snprintf(text, sizeof text, "%02x", byte);
    if (data.size() <= many) out += text;
  }
  if (data.size() <= many) return out;
  std::snprintf(text, sizeof text, "%zu#%016" PRIx64, data.size(), hash);
  return text;
}

std::string name(tc_status status) { return tc_status_name(status) + std::string_view("TC_").size(); }

std::chrono::milliseconds ms(const std::string& text) { return std::chrono::milliseconds(std::stoll(text)); }

class runner {
 public:
  explicit runner(std::string document) : document_(std::move(document)), cache_(tokencache::cache::open(document_)) {}

  std::string run(const fields& step) {
    try {
      return answer(step);
    } catch (const tokencache::error& failed) {
      return name(failed.status());
    }
  }

  void close() {
    if (cache_.close() != TC_OK) throw std::runtime_error("The cache closed with something owed to L2.");
  }

 private:
  std::string answer(const fields& step) {
    const std::string& operation = step[0];
    if (operation == "set") return set(step);
    if (operation == "get") return describe(cache_.get(key(step)), step);
    if (operation == "peek") return describe(cache_.peek(key(step)), step);
    if (operation == "get-into") return get_into(step);
    if (operation == "remaining") return remaining(step);
    if (operation == "remove") return name(cache_.remove(key(step)));
    if (operation == "touch") return name(cache_.touch(key(step)));
    if (operation == "clear") return cache_.clear(), name(TC_OK);
    if (operation == "flush") return name(cache_.flush(1min));
    if (operation == "wait-expired") return wait_expired(step);
    if (operation == "stats") return stats(step);
    if (operation == "compare") return version(step.at(1)) == version(step.at(2)) ? "same" : "different";
    if (operation == "reopen") return close(), cache_ = tokencache::cache::open(document_), name(TC_OK);
    throw std::runtime_error(operation + " is unknown.");
  }

  static std::string key(const fields& step) { return decode(step.at(1)); }

  std::uint64_t version(const std::string& name) const { return versions_.at(name); }

  std::string set(const fields& step) {
    tokencache::set_options options;
    std::uint64_t flags = 0;
    std::string as;
    for (std::size_t i = 3; i < step.size(); i++) {
      const std::size_t sign = step[i].find('=');
      const std::string word = step[i].substr(0, sign), rest = step[i].substr(sign + 1);
      if (word == "local") options.local_only = true;
      else if (word == "ttl") options.ttl = rest == "never" ? tokencache::never : ms(rest);
      else if (word == "expires") options.expires_at = clock::now() + ms(rest);
      else if (word == "sliding") options.sliding = ms(rest);
      else if (word == "if") options.expected_version = version(rest);
      else if (word == "flags") flags = std::stoull(rest);
      else if (word == "as") as = rest;
      else throw std::runtime_error(word + " is unknown.");
    }
    if (flags != 0) return set_raw(key(step), decode(step.at(2)), flags);
    const auto stored = cache_.set(key(step), decode(step.at(2)), options);
    if (stored && !as.empty()) versions_[as] = stored.version;
    return name(stored.status);
  }

  std::string set_raw(const std::string& key, const std::string& data, std::uint64_t flags) {
    tc_set_options options = TC_SET_OPTIONS;
    options.flags = flags;
    return name(tc_set(cache_.handle(), key.data(), key.size(), data.data(), data.size(), &options, nullptr));
  }

  std::string describe(const std::optional<tokencache::value>& entry, const fields& step) {
    if (!entry) return name(TC_NOT_FOUND);
    if (step.size() > 2) versions_[step[2].substr(std::string_view("as=").size())] = entry->version();
    const char* const tiers[] = {"none", "l1", "l2"};
    return name(entry->degraded() ? TC_DEGRADED : TC_OK) + " value=" + encode(entry->view()) +
           " tier=" + tiers[entry->tier()] + " flags=" + std::to_string(entry->flags());
  }

  std::string get_into(const fields& step) {
    std::string buffer(std::stoul(step.at(2)), '\0');
    const auto read = cache_.get_into(key(step), buffer.data(), buffer.size());
    if (read) return name(read.status) + " value=" + encode(std::string_view(buffer).substr(0, read.size));
    return name(read.status) + (read.status == TC_BUFFER_TOO_SMALL ? " length=" + std::to_string(read.size) : "");
  }

  std::string remaining(const fields& step) {
    const auto entry = cache_.get(key(step));
    if (!entry) return name(TC_NOT_FOUND);
    if (!entry->expires_at()) return "OK never";
    const auto left = *entry->expires_at() - clock::now();
    return ms(step.at(2)) <= left && left <= ms(step.at(3)) ? "OK within" : "OK outside";
  }

  std::string wait_expired(const fields& step) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    for (auto pause = 1ms; cache_.get(key(step)); pause *= 2) {
      if (std::chrono::steady_clock::now() >= end) return "STILL_THERE";
      std::this_thread::sleep_for(pause);
    }
    return name(TC_NOT_FOUND);
  }

  std::string stats(const fields& step) {
    const bool is_there = cache_.stats().find('"' + step.at(1) + "\":") != std::string::npos;
    return is_there ? "OK present" : "OK absent";
  }

  std::string document_;
  tokencache::cache cache_;
  std::map<std::string, std::uint64_t> versions_{{"zero", 0}, {"absent", tokencache::absent}};
};

void run_script(const char* path, const char* document) {
  std::ifstream script(path);
  if (!script) throw std::runtime_error("The script cannot be read.");
  runner runner(document);
  std::string line;
  for (int number = 1; std::getline(script, line); number++) {
    if (line.empty() || std::string_view("#=@").find(line[0]) != std::string_view::npos) continue;
    std::istringstream words(line);
    try {
      std::cout << runner.run({std::istream_iterator<std::string>(words), {}}) << '\n';
    } catch (const std::exception& wrong) {
      throw std::runtime_error("line " + std::to_string(number) + ": " + wrong.what());
    }
  }
  runner.close();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("The arguments are SCRIPT, DOCUMENT_JSON and BACKEND.");
    run_script(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& wrong) {
    std::cerr << wrong.what() << '\n';
    return 2;
  }
}
