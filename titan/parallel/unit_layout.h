// parallel: how a model is laid out over ranks and how ranks talk. Model code never includes it.
//
// unit_layout.h: where the parameters of a unit lie in its flat buffer, and which part of it a rank
// holds. No torch, so a job of any size can be laid out without its memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::parallel {

/// A run of consecutive elements of one parameter (row-major) inside a flat buffer.
struct Fragment {
  std::string name;            ///< parameter name
  std::vector<int64_t> shape;  ///< global shape
  int64_t global_offset = 0;   ///< first element, within the parameter
  int64_t local_offset = 0;    ///< first element, within the flat buffer
  int64_t length = 0;
  bool trainable = true;  ///< frozen parameters have no gradient and are never updated
};

/// A parameter before it has memory.
struct ParameterShape {
  std::string name;
  std::vector<int64_t> shape;
  bool trainable = true;

  int64_t numel() const;
};

/// Ranks that share a unit's flat buffer in equal slices, and which of them this is.
struct ShardPosition {
  int64_t rank = 0;
  int64_t ranks = 1;
};

/// A unit's parameters end to end. Each starts on a 64-byte boundary in a buffer of any dtype; the
/// end is padded so that every rank's slice has the same length and starts on such a boundary too.
struct UnitLayout {
  std::string name;
  std::vector<Fragment> parameters =
      {};                    ///< whole, in order; local_offset counts in the whole buffer
  int64_t length = 0;        ///< elements of the whole buffer
  int64_t shard_length = 0;  ///< elements of one rank's slice

  /// Whether any parameter is.
  bool trainable() const;
  /// Elements of parameters, without padding.
  int64_t num_parameters() const;
};

UnitLayout lay_out_unit(std::string name, const std::vector<ParameterShape>& parameters,
                        int64_t shard_ranks);

/// What lies in the slice of one rank; local_offset counts from the start of the slice. Parameters
/// of which it holds nothing are left out.
std::vector<Fragment> fragments_of(const UnitLayout& layout, int64_t shard_rank);

}  // namespace titan::parallel
