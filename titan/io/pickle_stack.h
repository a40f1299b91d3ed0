// pickle_stack.h: what a pickle's opcodes work on: values, the stack, its marks, the memo. Every
// operation says what is wrong instead of going out of bounds. Private to pickle.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/pickle.h"

namespace titan::pickle {

class Stack {
 public:
  explicit Stack(const Policy& policy) : policy_(policy) {}

  Status push(Value value);
  Status push_number(Kind kind, int64_t value) { return push({.kind = kind, .number = value}); }
  /// Little-endian two's complement.
  Status push_long(const std::string& digits);
  /// A tuple of the topmost `size` values, which are popped; likewise up to the mark.
  Status push_tuple(std::size_t size);
  Status push_to_mark(Kind kind);
  /// Appends the topmost `count` values to the list or dictionary under them.
  Status extend(Kind kind, std::size_t count);
  Status extend_to_mark(Kind kind);

  Status push_mark();
  Status pop_mark();
  Status drop();
  Status duplicate();
  /// The one value that is left at the end.
  Status finish(Ref& root);

  Status put(std::uint64_t place);
  Status put_next() { return put(memo_.size()); }
  Status get(std::uint64_t place);

  Status push_global(const std::string& module, const std::string& name);
  /// Of the two texts on top.
  Status push_stack_global();
  Status push_persistent();
  Status call();
  Status build();

  std::vector<Value> take_values() { return std::move(values_); }

 private:
  Status need(std::size_t count) const;
  Status push_ref(Ref ref);
  Status pop(std::vector<Ref>& out, std::size_t count);
  Status pop_to_mark(std::vector<Ref>& out);
  Status append(Kind kind, const std::vector<Ref>& items);
  Status count_items(std::size_t count);
  Status call_dict(const std::vector<Ref>& arguments);

  const Policy& policy_;
  std::vector<Value> values_;
  std::size_t num_items_ = 0;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Ref> memo_;
};

/// "it asks for X, ...; nothing was run" (kInvalidArgument).
Status would_run(const std::string& what);

}  // namespace titan::pickle
