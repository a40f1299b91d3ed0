#include "titan/io/pickle_stack.h"

#include <utility>

#include "titan/base/printable.h"

namespace titan::pickle {
namespace {

// 20 to 25 values a tensor: room for some 90,000 tensors in a file. What a hostile one of many
// megabytes can make this machine hold stays below 0.4 GB.
constexpr std::size_t kMostValues = 2'000'000;
constexpr std::size_t kMostItems = 8'000'000;

Status malformed(const std::string& what) { return data_loss(what); }

}  // namespace

Status would_run(const std::string& what) {
  return invalid_argument("it asks for ", what, ", and only tensors are read; nothing was run");
}

Status Stack::push_ref(Ref ref) {
  if (stack_.size() == kMostItems) return malformed(str_cat("more than ", kMostItems, " items"));
  stack_.push_back(ref);
  return ok_status();
}

Status Stack::push(Value value) {
  if (values_.size() == kMostValues)
    return malformed(str_cat("more than ", kMostValues, " values"));
  TITAN_RETURN_IF_ERROR(count_items(value.items.size()));
  TITAN_RETURN_IF_ERROR(push_ref(static_cast<Ref>(values_.size())));
  values_.push_back(std::move(value));
  return ok_status();
}

Status Stack::count_items(std::size_t count) {
  num_items_ += count;
  if (num_items_ > kMostItems) return malformed(str_cat("more than ", kMostItems, " items"));
  return ok_status();
}

Status Stack::need(std::size_t count) const {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  return stack_.size() - floor >= count ? ok_status() : malformed("the stack is empty");
}

Status Stack::pop(std::vector<Ref>& out, std::size_t count) {
  TITAN_RETURN_IF_ERROR(need(count));
  out.assign(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return ok_status();
}

Status Stack::pop_to_mark(std::vector<Ref>& out) {
  if (marks_.empty()) return malformed("a mark is missing");
  TITAN_RETURN_IF_ERROR(pop(out, stack_.size() - marks_.back()));
  marks_.pop_back();
  return ok_status();
}

Status Stack::push_mark() {
  if (marks_.size() == kMostItems) return malformed("too many marks");
  marks_.push_back(stack_.size());
  return ok_status();
}

Status Stack::pop_mark() {
  std::vector<Ref> dropped;
  return pop_to_mark(dropped);
}

Status Stack::drop() {
  TITAN_RETURN_IF_ERROR(need(1));
  stack_.pop_back();
  return ok_status();
}

Status Stack::duplicate() {
  TITAN_RETURN_IF_ERROR(need(1));
  return push_ref(stack_.back());
}

Status Stack::finish(Ref& root) {
  if (!marks_.empty() || stack_.size() != 1) return malformed("it ends with an untidy stack");
  root = stack_.back();
  return ok_status();
}

Status Stack::push_long(const std::string& digits) {
  if (digits.size() > sizeof(int64_t)) return push({.kind = Kind::kLong, .text = digits});
  std::uint64_t value = 0;
  for (std::size_t i = digits.size(); i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(digits[i]);
  if (!digits.empty() && digits.size() < sizeof value && (digits.back() & 0x80) != 0)
    value |= ~std::uint64_t{0} << (8 * digits.size());
  return push_number(Kind::kInt, static_cast<int64_t>(value));
}

Status Stack::push_tuple(std::size_t size) {
  std::vector<Ref> items;
  TITAN_RETURN_IF_ERROR(pop(items, size));
  return push({.kind = Kind::kTuple, .items = std::move(items)});
}

Status Stack::push_to_mark(Kind kind) {
  std::vector<Ref> items;
  TITAN_RETURN_IF_ERROR(pop_to_mark(items));
  if (kind == Kind::kDict && items.size() % 2 != 0) return malformed("a key without a value");
  return push({.kind = kind, .items = std::move(items)});
}

Status Stack::extend(Kind kind, std::size_t count) {
  std::vector<Ref> items;
  TITAN_RETURN_IF_ERROR(pop(items, count));
  return append(kind, items);
}

Status Stack::extend_to_mark(Kind kind) {
  std::vector<Ref> items;
  TITAN_RETURN_IF_ERROR(pop_to_mark(items));
  return append(kind, items);
}

Status Stack::append(Kind kind, const std::vector<Ref>& items) {
  TITAN_RETURN_IF_ERROR(need(1));
  Value& target = values_[stack_.back()];
  if (target.kind != kind) return malformed("items for something that takes none");
  if (kind == Kind::kDict && items.size() % 2 != 0) return malformed("a key without a value");
  TITAN_RETURN_IF_ERROR(count_items(items.size()));
  target.items.insert(target.items.end(), items.begin(), items.end());
  return ok_status();
}

Status Stack::put(std::uint64_t place) {
  TITAN_RETURN_IF_ERROR(need(1));
  if (memo_.size() == kMostValues) return malformed("too many values are memorized");
  memo_[place] = stack_.back();
  return ok_status();
}

Status Stack::get(std::uint64_t place) {
  const auto found = memo_.find(place);
  if (found == memo_.end()) return malformed("it refers to something that is not there");
  return push_ref(found->second);
}

Status Stack::push_global(const std::string& module, const std::string& name) {
  const std::string whole = module + "." + name;
  if (policy_(whole) == Use::kRefused) return would_run(printable(whole));
  return push({.kind = Kind::kGlobal, .text = whole});
}

Status Stack::push_stack_global() {
  std::vector<Ref> names;
  TITAN_RETURN_IF_ERROR(pop(names, 2));
  const Value &module = values_[names[0]], &name = values_[names[1]];
  if (module.kind != Kind::kText || name.kind != Kind::kText)
    return malformed("a name that is no text");
  return push_global(module.text, name.text);
}

Status Stack::push_persistent() {
  std::vector<Ref> id;
  TITAN_RETURN_IF_ERROR(pop(id, 1));
  return push({.kind = Kind::kPersistent, .items = std::move(id)});
}

Status Stack::call() {
  std::vector<Ref> call;
  TITAN_RETURN_IF_ERROR(pop(call, 2));
  const Value &callable = values_[call[0]], &arguments = values_[call[1]];
  if (callable.kind != Kind::kGlobal) return malformed("a call of something that has no name");
  if (arguments.kind != Kind::kTuple) return malformed("a call without arguments");
  switch (policy_(callable.text)) {
    case Use::kDict:
      return call_dict(arguments.items);
    case Use::kCopy:
      if (arguments.items.size() != 1) return malformed("a call with other arguments");
      return push_ref(arguments.items[0]);
    case Use::kCall:
      return push({.kind = Kind::kCall, .items = std::move(call)});
    case Use::kName:
    case Use::kRefused:
      break;
  }
  return would_run("a call of " + printable(callable.text));
}

/// Python 3 fills dictionaries afterwards; Python 2 passed a list of pairs.
Status Stack::call_dict(const std::vector<Ref>& arguments) {
  Value made{.kind = Kind::kDict};
  if (arguments.size() > 1) return malformed("a dictionary of several things");
  if (!arguments.empty()) {
    const Value& pairs = values_[arguments[0]];
    if (pairs.kind != Kind::kList) return malformed("a dictionary of something that is no list");
    TITAN_RETURN_IF_ERROR(count_items(pairs.items.size()));
    for (const Ref ref : pairs.items) {
      const Value& pair = values_[ref];
      if ((pair.kind != Kind::kList && pair.kind != Kind::kTuple) || pair.items.size() != 2)
        return malformed("a dictionary of something that is no pair");
      made.items.insert(made.items.end(), pair.items.begin(), pair.items.end());
    }
  }
  return push(std::move(made));
}

/// Attributes of a dictionary (a state dict's versions) are dropped; nothing else has any.
Status Stack::build() {
  std::vector<Ref> both;
  TITAN_RETURN_IF_ERROR(pop(both, 2));
  const bool harmless =
      values_[both[0]].kind == Kind::kDict && values_[both[1]].kind == Kind::kDict;
  return harmless ? push_ref(both[0]) : would_run("an object with a state");
}

}  // namespace titan::pickle
