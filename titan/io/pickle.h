// pickle.h: Python's pickle format read as data. The opcodes that make plain values are followed;
// names and calls are written down, never imported, run or built. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::pickle {

/// Place of a value in its Pickle. Values may be shared and may hold themselves.
using Ref = std::uint32_t;

enum class Kind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kLong,  ///< an integer beyond 64 bits: its little-endian bytes in `text`
  kFloat,
  kText,
  kBytes,
  kTuple,
  kList,
  kDict,  ///< `items`: key, value, key, value, ...
  kGlobal,
  kCall,        ///< `items`: the global that was to be called, its arguments (a tuple)
  kPersistent,  ///< `items`: the id of something outside the pickle
};

struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;  ///< of kBool and kInt
  double real = 0;     ///< of kFloat
  std::string text = {};
  std::vector<Ref> items = {};
};

/// What the reader of a pickle says to a global's name ("torch.Size").
enum class Use : std::uint8_t {
  kRefused,
  kName,  ///< may be mentioned
  kCall,  ///< may be mentioned, and a call of it may be written down
  kDict,  ///< a class of dictionary: a call of it makes an empty one or one of a list of pairs
  kCopy,  ///< a call of it is its one argument
};
using Policy = std::function<Use(const std::string& global)>;

struct Pickle {
  std::vector<Value> values;
  Ref root = 0;
  std::size_t size_bytes = 0;  ///< of the pickle: what follows it is not looked at

  const Value& operator[](Ref ref) const { return values[ref]; }
};

/// Reads one pickle of protocol 2 to 5 from the front of `bytes`. Errors: kInvalidArgument names
/// a global or an opcode that would have run code (none is ever run), kDataLoss says what is
/// malformed, too large (2 million values, 8 million places in containers) or cut short, and
/// where. Time and memory are linear in the bytes.
StatusOr<Pickle> parse(std::span<const std::byte> bytes, const Policy& policy);

}  // namespace titan::pickle
