#include "titan/parallel/shared_collectives.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "titan/parallel/host_reduce.h"
#include "titan/parallel/stream_copy.h"

namespace titan::parallel {
namespace {

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (to != from && bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

/// Numbers of a piece of `whole` that begins at `first`: at most `most`.
std::int64_t length_at(std::int64_t first, std::int64_t whole, std::int64_t most) {
  return std::clamp(whole - first, std::int64_t{0}, most);
}

/// One piece of an all-reduce, cut into a share for each rank.
struct Piece {
  std::byte* data = nullptr;
  std::int64_t count = 0;
  std::int64_t width = 1;  ///< bytes of a number
  std::int64_t share = 0;  ///< numbers a rank, the last ranks' may be fewer

  std::byte* share_of(int rank) const { return data + rank * share * width; }
  std::int64_t length_of(int rank) const { return length_at(rank * share, count, share); }
};

/// Where `rank`'s slot has the numbers that `reader` will reduce: those of all ranks but itself.
std::int64_t place_of(int rank, int reader, std::int64_t share_bytes) {
  return (reader < rank ? reader : reader - 1) * share_bytes;
}

void hand_out(const SharedSteps& steps, const Piece& piece) {
  const std::int64_t share_bytes = piece.share * piece.width;
  for (int r = 0; r < steps.size(); ++r) {
    if (r == steps.rank()) continue;
    copy_bytes(steps.own_slot() + place_of(steps.rank(), r, share_bytes), piece.share_of(r),
               piece.length_of(r) * piece.width);
  }
}

/// The numbers of all ranks that this one reduces, in order of rank, as the slots have them.
std::vector<const std::byte*> parts_of(const SharedSteps& steps, const std::byte* own,
                                       std::int64_t share_bytes) {
  std::vector<const std::byte*> parts;
  for (int r = 0; r < steps.size(); ++r)
    parts.push_back(r == steps.rank() ? own
                                      : steps.slot(r) + place_of(r, steps.rank(), share_bytes));
  return parts;
}

constexpr std::int64_t kFewBytes = 4096;
constexpr std::int64_t kCachedBytes = 8 << 20;  // of a result that its rank may find in a cache

/// Every rank reduces everything: one meeting instead of two, for what is over in no time.
void all_reduce_few(SharedSteps& steps, Reduction reduction, c10::ScalarType type, std::byte* data,
                    std::int64_t count, Deadline deadline) {
  copy_bytes(steps.own_slot(), data, count * static_cast<std::int64_t>(c10::elementSize(type)));
  steps.meet(deadline);
  std::vector<const std::byte*> parts;
  for (int r = 0; r < steps.size(); ++r) parts.push_back(steps.slot(r));
  host_reduce(reduction, type, parts, count, data, nullptr);
  steps.end_step();
}

}  // namespace

// A slot has the shares of piece k that the other ranks reduce, behind this rank's reduced share of
// piece k - 1: a piece a step, and one step more.
void all_reduce(SharedSteps& steps, Reduction reduction, c10::ScalarType type, std::byte* data,
                std::int64_t count, Deadline deadline) {
  const auto width = static_cast<std::int64_t>(c10::elementSize(type));
  if (count * width <= kFewBytes)
    return all_reduce_few(steps, reduction, type, data, count, deadline);
  const std::int64_t most_a_rank =
      static_cast<std::int64_t>(steps.slot_bytes()) / steps.size() / width;
  const std::int64_t result = most_a_rank * (steps.size() - 1) * width;  // its place in a slot
  const std::int64_t most = most_a_rank * steps.size();
  Piece before;
  for (std::int64_t first = 0; first < count || before.count > 0; first += most) {
    Piece piece{.data = data + std::min(first, count) * width,
                .count = length_at(first, count, most),
                .width = width};
    piece.share = (piece.count + steps.size() - 1) / steps.size();
    hand_out(steps, piece);
    steps.meet(deadline);
    for (int r = 0; r < steps.size(); ++r)
      if (r != steps.rank())
        copy_bytes(before.share_of(r), steps.slot(r) + result, before.length_of(r) * width);
    std::byte* const own = piece.share_of(steps.rank());
    const auto parts = parts_of(steps, own, piece.share * width);
    steps.end_step();  // the parts stay until this rank has met the others again
    host_reduce(reduction, type, parts, piece.length_of(steps.rank()), own,
                steps.own_slot() + result);
    before = piece;
  }
}

void all_gather(SharedSteps& steps, std::byte* whole, const std::byte* part, std::int64_t bytes,
                Deadline deadline) {
  const auto most = static_cast<std::int64_t>(steps.slot_bytes());
  const bool large = bytes * steps.size() >= kCachedBytes;
  const auto place = [large](std::byte* to, const std::byte* from, std::int64_t length) {
    if (large && to != from) return stream_copy(to, from, static_cast<std::size_t>(length));
    copy_bytes(to, from, length);
  };
  for (std::int64_t first = 0; first < bytes; first += most) {
    const std::int64_t length = length_at(first, bytes, most);
    copy_bytes(steps.own_slot(), part + first, length);
    place(whole + steps.rank() * bytes + first, part + first, length);
    steps.meet(deadline);
    for (int r = 0; r < steps.size(); ++r)
      if (r != steps.rank()) place(whole + r * bytes + first, steps.slot(r), length);
    steps.end_step();
  }
}

void reduce_scatter(SharedSteps& steps, c10::ScalarType type, std::byte* part,
                    const std::byte* whole, std::int64_t count, Deadline deadline) {
  const auto width = static_cast<std::int64_t>(c10::elementSize(type));
  const std::int64_t most =
      static_cast<std::int64_t>(steps.slot_bytes()) / (steps.size() - 1) / width;
  for (std::int64_t first = 0; first < count; first += most) {
    const std::int64_t length = length_at(first, count, most);
    for (int r = 0; r < steps.size(); ++r) {
      if (r == steps.rank()) continue;
      copy_bytes(steps.own_slot() + place_of(steps.rank(), r, length * width),
                 whole + (r * count + first) * width, length * width);
    }
    steps.meet(deadline);
    const auto parts =
        parts_of(steps, whole + (steps.rank() * count + first) * width, length * width);
    host_reduce(Reduction::kSum, type, parts, length, part + first * width, nullptr);
    steps.end_step();
  }
}

void broadcast(SharedSteps& steps, int root, std::byte* data, std::int64_t bytes,
               Deadline deadline) {
  const auto most = static_cast<std::int64_t>(steps.slot_bytes());
  for (std::int64_t first = 0; first < bytes; first += most) {
    const std::int64_t length = length_at(first, bytes, most);
    if (steps.rank() == root) copy_bytes(steps.own_slot(), data + first, length);
    steps.meet(deadline);
    if (steps.rank() != root) copy_bytes(data + first, steps.slot(root), length);
    steps.end_step();
  }
}

}  // namespace titan::parallel
