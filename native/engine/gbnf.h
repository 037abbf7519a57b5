#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace stator {

/// What a grammar may name besides its own rules.
struct GbnfContext {
  /// Ids of `<[id]>` are below this.
  int32_t vocab = 0;
  /// Whether `<text>` is exactly one token.
  std::function<bool(std::string_view)> isToken;
};

/// Says in one sentence why the library's parser would not take a grammar, or nothing when it would. The library prints
/// a refused grammar to stderr, loops for ever on a repetition such as {5,2} and recurses once per bracket, so it never
/// gets to see one.
std::string refuseGbnf(std::string_view grammar, const GbnfContext& context);

}  // namespace stator
