/// The application's functions, as the library calls them: no exception crosses. Included by tokencache.hpp.
#ifndef TOKENCACHE_CALLBACKS_HPP
#define TOKENCACHE_CALLBACKS_HPP

#include <atomic>
#include <functional>
#include <memory>

#include "entry.hpp"

namespace tokencache {

/// How an asynchronous call ended; yours to move from.
struct result {
  /// As the call itself would have returned in C; below zero it failed.
  tc_status status;
  /// What was read, if anything was.
  std::optional<value> entry;
  /// The version written, or 0.
  std::uint64_t version;
  /// Why it failed. Ends with the callback.
  std::string_view message;
};

/// A failed attempt at L2. Its texts end with the callback.
struct failure {
  /// What was asked of L2.
  tc_operation operation;
  /// Why it failed.
  tc_status status;
  /// The cache key, if the operation has one.
  std::optional<std::string_view> key;
  /// 1 for the first try, and `resilience.max_attempts`, which no decision exceeds.
  std::uint32_t attempt, max_attempts;
  /// Since the call began, and until its deadline.
  milliseconds elapsed, remaining;
  /// The configured pause before the next attempt.
  milliseconds backoff;
  /// A sentence.
  std::string_view message;
};

/// What a retry callback wants done. `decision{}` follows the configuration.
struct decision {
  tc_decision what = TC_DECISION_DEFAULT;
  std::optional<milliseconds> delay{};

  /// Try again, after `delay` or the configured backoff.
  static decision retry(std::optional<milliseconds> delay = std::nullopt) noexcept {
    return {TC_DECISION_RETRY, delay};
  }
  /// Fail the call now.
  static decision give_up() noexcept { return {TC_DECISION_GIVE_UP, std::nullopt}; }
};

/// Told of an exception that left a callback: of which ("retry", "log", "completion"), and the exception. Called on a
/// thread of the library, several at once.
using callback_error_handler = void (*)(const char* callback, std::exception_ptr exception) noexcept;

namespace detail {

inline void say_on_stderr(const char* callback, std::exception_ptr) noexcept {
  // Not its words, which may hold a key.
  std::fprintf(stderr, "tokencache: an exception left a %s callback; see tokencache::on_callback_error.\n", callback);
}

inline std::atomic<callback_error_handler> callback_error{say_on_stderr};

/// Calls into the application; no exception comes back.
template <class Call>
void shielded(const char* callback, Call&& call) noexcept {
#ifdef __cpp_exceptions
  try {
    call();
  } catch (...) {
    callback_error.load()(callback, std::current_exception());
  }
#else
  (void)callback;
  call();
#endif
}

/// Pointers, `std::function`, `std::move_only_function` and their like; no lambda, which is made of no null.
template <class Function, class = void>
inline constexpr bool is_nullable = false;
template <class Function>
inline constexpr bool is_nullable<Function, std::void_t<decltype(std::declval<const Function&>() == nullptr)>> =
    std::is_constructible_v<Function, std::nullptr_t>;

template <class Function>
void destroy(void* user_data) noexcept {
  delete static_cast<Function*>(user_data);
}

}  // namespace detail

/// Sets, for the whole program, who is told of exceptions that leave callbacks, and returns the one before. They never
/// cross the library: a retry callback that throws means "follow the configuration", the others are over. Null goes
/// back to one line on standard error. From any thread.
inline callback_error_handler on_callback_error(callback_error_handler handler) noexcept {
  return detail::callback_error.exchange(handler ? handler : detail::say_on_stderr);
}

namespace detail {

template <class Function>
tc_decision decide(void* user_data, const tc_failure* it, std::uint32_t* delay_ms) noexcept {
  decision answer;
  shielded("retry", [&] {
    const auto key = it->key ? std::optional(std::string_view(it->key, it->key_len)) : std::nullopt;
    answer = (*static_cast<Function*>(user_data))(
        failure{it->operation, it->status, key, it->attempt, it->max_attempts, milliseconds(it->elapsed_ms),
                milliseconds(it->remaining_ms), milliseconds(*delay_ms), it->message});
  });
  if (answer.delay) *delay_ms = in_32_bits(*answer.delay);
  return answer.what;
}

template <class Function>
void log(void* user_data, tc_level level, const char* target, const char* message) noexcept {
  shielded("log", [&] {
    (*static_cast<Function*>(user_data))(level, std::string_view(target), std::string_view(message));
  });
}

template <class Function>
void done(void* user_data, const tc_result* it) noexcept {
  const std::unique_ptr<Function> function(static_cast<Function*>(user_data));
  shielded("completion", [&] {
    std::optional<value> entry;
    if (it->value) entry.emplace(tc_value_retain(it->value), it->status == TC_DEGRADED);
    (*function)(result{it->status, std::move(entry), it->version, it->message});
  });
}

/// Whether it could hold a function and holds none.
template <class Function>
bool is_empty(const Function& function) noexcept {
  if constexpr (is_nullable<Function>) return function == nullptr;
  else return false;
}

/// Gives `function` to the library with `give(user_data)`; it stays here when it is refused.
template <class Function, class Give>
expected<tc_status> hand_over(Function&& function, Give&& give) {
  auto owned = std::make_unique<std::decay_t<Function>>(std::forward<Function>(function));
  auto answer = checked(give(static_cast<void*>(owned.get())));
  // From here on it is the library's, which may have destroyed it already.
  if (answer) (void)owned.release();
  return answer;
}

/// As `hand_over`, for what is called once; one that is empty could not be.
template <class Done, class Give>
expected<tc_status> hand_over_done(Done&& done, Give&& give) {
  if (is_empty<std::decay_t<Done>>(done)) return error(TC_INVALID_ARGUMENT, "The completion holds no function.");
  return hand_over(std::forward<Done>(done), std::forward<Give>(give));
}

}  // namespace detail

}  // namespace tokencache

#endif  // TOKENCACHE_CALLBACKS_HPP
