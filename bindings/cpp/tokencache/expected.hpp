/// How a failure is told: thrown, or as the answer of a member that begins with `try_`. Included by tokencache.hpp.
#ifndef TOKENCACHE_EXPECTED_HPP
#define TOKENCACHE_EXPECTED_HPP

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "tokencache.h"

namespace tokencache {

/// Why a call failed: `what()` says it in a sentence. What is thrown, and what an `expected` has in place of a value.
class error : public std::runtime_error {
 public:
  error(tc_status status, std::string_view message) : std::runtime_error(std::string(message)), status_(status) {}
  /// Why, as the library's status; below zero.
  tc_status status() const noexcept { return status_; }

 private:
  tc_status status_;
};

namespace detail {

[[noreturn]] inline void raise(const error& why) {
#ifdef __cpp_exceptions
  throw why;
#else
  std::fprintf(stderr, "tokencache: %s: %s\n", tc_status_name(why.status()), why.what());
  std::terminate();
#endif
}

}  // namespace detail

/// A `T`, or the `error` for which there is none: `std::expected<T, tokencache::error>` for C++17. True when there is a
/// value; `*` and `->` are for when it is true, `error()` for when it is not, and `value()` throws the error.
template <class T>
class [[nodiscard]] expected {
 public:
  using value_type = T;
  using error_type = tokencache::error;

  expected(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) : it_(std::in_place_index<0>, std::move(value)) {}
  expected(const T& value) : it_(std::in_place_index<0>, value) {}
  expected(tokencache::error why) noexcept : it_(std::in_place_index<1>, std::move(why)) {}

  bool has_value() const noexcept { return it_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& operator*() & noexcept { return *std::get_if<0>(&it_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&it_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&it_)); }
  T* operator->() noexcept { return std::get_if<0>(&it_); }
  const T* operator->() const noexcept { return std::get_if<0>(&it_); }

  const tokencache::error& error() const& noexcept { return *std::get_if<1>(&it_); }
  tokencache::error&& error() && noexcept { return std::move(*std::get_if<1>(&it_)); }

  /// The value. Throws the error where there is none; built with `-fno-exceptions` it ends the program.
  T& value() & { return checked(), **this; }
  const T& value() const& { return checked(), **this; }
  T&& value() && { return checked(), *std::move(*this); }
  /// The value, or `other` where there is none.
  template <class Other>
  T value_or(Other&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<Other>(other));
  }
  template <class Other>
  T value_or(Other&& other) && {
    return has_value() ? *std::move(*this) : static_cast<T>(std::forward<Other>(other));
  }

 private:
  void checked() const {
    if (!has_value()) detail::raise(error());
  }

  std::variant<T, tokencache::error> it_;
};

namespace detail {

/// The status, unless it is a failure.
inline expected<tc_status> checked(tc_status status) {
  if (status < 0) return error(status, tc_last_error());
  return status;
}

}  // namespace detail

}  // namespace tokencache

#endif  // TOKENCACHE_EXPECTED_HPP
