#include "titan/io/pickle.h"

#include <bit>
#include <string_view>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/pickle_stack.h"
#include "titan/io/unaligned.h"

namespace titan::pickle {
namespace {

/// Follows the opcodes of https://docs.python.org/3/library/pickletools.html, without those that
/// act.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const Policy& policy) : bytes_(bytes), stack_(policy) {}

  StatusOr<Pickle> run() {
    Pickle pickle;
    for (bool stopped = false; !stopped;) {
      const std::size_t at = next_;
      std::uint8_t opcode = 0;
      Status status = number(opcode);
      stopped = status.ok() && opcode == '.';
      if (status.ok()) status = stopped ? stack_.finish(pickle.root) : step(opcode);
      if (!status.ok()) return annotate(status, str_cat("its pickle, at byte ", at));
    }
    pickle.values = stack_.take_values();
    pickle.size_bytes = next_;
    return pickle;
  }

 private:
  Status step(std::uint8_t opcode);
  Status step_container(std::uint8_t opcode);
  Status step_named(std::uint8_t opcode);

  template <class T>
  Status number(T& value) {
    if (bytes_.size() - next_ < sizeof(T)) return data_loss("it is cut short");
    value = load_unaligned<T>(bytes_.data() + next_);
    next_ += sizeof(T);
    return ok_status();
  }
  /// The bytes behind their length, a number of type L.
  template <class L>
  Status text(std::string& out) {
    L length = 0;
    TITAN_RETURN_IF_ERROR(number(length));
    if (length > bytes_.size() - next_) return data_loss("a text is longer than the file");
    out.assign(reinterpret_cast<const char*>(bytes_.data()) + next_, length);
    next_ += length;
    return ok_status();
  }
  /// Up to the end of the line, which is consumed.
  Status line(std::string& out) {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + next_;
    const std::size_t length = std::string_view(begin, bytes_.size() - next_).find('\n');
    if (length == std::string_view::npos) return data_loss("a name without an end");
    out.assign(begin, length);
    next_ += length + 1;
    return ok_status();
  }
  template <class T>
  Status push_int() {
    T value = 0;
    TITAN_RETURN_IF_ERROR(number(value));
    return stack_.push_number(Kind::kInt, value);
  }
  template <class L>
  Status push_text(Kind kind) {
    Value value{.kind = kind};
    TITAN_RETURN_IF_ERROR(text<L>(value.text));
    return stack_.push(std::move(value));
  }
  template <class L>
  Status push_long() {
    std::string digits;
    TITAN_RETURN_IF_ERROR(text<L>(digits));
    return stack_.push_long(digits);
  }
  Status push_float() {
    std::uint64_t value = 0;
    TITAN_RETURN_IF_ERROR(number(value));
    value = __builtin_bswap64(value);  // the format's only big-endian number
    return stack_.push({.kind = Kind::kFloat, .real = std::bit_cast<double>(value)});
  }
  Status protocol() {
    std::uint8_t value = 0;
    TITAN_RETURN_IF_ERROR(number(value));
    return value >= 2 && value <= 5 ? ok_status() : data_loss("protocol ", int{value});
  }
  Status frame() {  // a hint about the bytes that follow
    std::uint64_t size = 0;
    TITAN_RETURN_IF_ERROR(number(size));
    return size <= bytes_.size() - next_ ? ok_status() : data_loss("it is cut short");
  }
  template <class T>
  Status memo(Status (Stack::*use)(std::uint64_t)) {
    T place = 0;
    TITAN_RETURN_IF_ERROR(number(place));
    return (stack_.*use)(place);
  }

  std::span<const std::byte> bytes_;
  std::size_t next_ = 0;
  Stack stack_;
};

Status Machine::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80:
      return protocol();
    case 0x95:
      return frame();
    case 'N':
      return stack_.push({});
    case 0x88:
    case 0x89:
      return stack_.push_number(Kind::kBool, opcode == 0x88);
    case 'K':
      return push_int<std::uint8_t>();
    case 'M':
      return push_int<std::uint16_t>();
    case 'J':
      return push_int<std::int32_t>();
    case 0x8a:
      return push_long<std::uint8_t>();
    case 0x8b:
      return push_long<std::uint32_t>();
    case 'G':
      return push_float();
    case 'X':
    case 'T':  // as U: Python 2's str
      return push_text<std::uint32_t>(Kind::kText);
    case 0x8c:
    case 'U':
      return push_text<std::uint8_t>(Kind::kText);
    case 0x8d:
      return push_text<std::uint64_t>(Kind::kText);
    case 'C':
      return push_text<std::uint8_t>(Kind::kBytes);
    case 'B':
      return push_text<std::uint32_t>(Kind::kBytes);
    case 0x8e:
      return push_text<std::uint64_t>(Kind::kBytes);
    default:
      return step_container(opcode);
  }
}

Status Machine::step_container(std::uint8_t opcode) {
  switch (opcode) {
    case '(':
      return stack_.push_mark();
    case '0':
      return stack_.drop();
    case '1':
      return stack_.pop_mark();
    case '2':
      return stack_.duplicate();
    case ')':
      return stack_.push({.kind = Kind::kTuple});
    case 0x85:
    case 0x86:
    case 0x87:
      return stack_.push_tuple(opcode - 0x84U);
    case 't':
      return stack_.push_to_mark(Kind::kTuple);
    case ']':
      return stack_.push({.kind = Kind::kList});
    case 'l':
      return stack_.push_to_mark(Kind::kList);
    case 'a':
      return stack_.extend(Kind::kList, 1);
    case 'e':
      return stack_.extend_to_mark(Kind::kList);
    case '}':
      return stack_.push({.kind = Kind::kDict});
    case 'd':
      return stack_.push_to_mark(Kind::kDict);
    case 's':
      return stack_.extend(Kind::kDict, 2);
    case 'u':
      return stack_.extend_to_mark(Kind::kDict);
    default:
      return step_named(opcode);
  }
}

Status Machine::step_named(std::uint8_t opcode) {
  switch (opcode) {
    case 'q':
      return memo<std::uint8_t>(&Stack::put);
    case 'r':
      return memo<std::uint32_t>(&Stack::put);
    case 0x94:
      return stack_.put_next();
    case 'h':
      return memo<std::uint8_t>(&Stack::get);
    case 'j':
      return memo<std::uint32_t>(&Stack::get);
    case 'c':
    case 'i': {  // a global, and an object made of one
      std::string module, name;
      TITAN_RETURN_IF_ERROR(line(module));
      TITAN_RETURN_IF_ERROR(line(name));
      if (opcode == 'c') return stack_.push_global(module, name);
      return would_run("an object of " + printable(module + "." + name));
    }
    case 0x93:
      return stack_.push_stack_global();
    case 'R':
      return stack_.call();
    case 'b':
      return stack_.build();
    case 'Q':
      return stack_.push_persistent();
    case 'o':
    case 0x81:
    case 0x92:
      return would_run("an object of a class");
    case 0x82:
    case 0x83:
    case 0x84:
      return would_run("Python's extension registry");
    default:
      return data_loss("an opcode that tensors do not need (", int{opcode}, ")");
  }
}

}  // namespace

StatusOr<Pickle> parse(std::span<const std::byte> bytes, const Policy& policy) {
  return Machine(bytes, policy).run();
}

}  // namespace titan::pickle
