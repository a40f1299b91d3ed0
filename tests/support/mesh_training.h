// mesh_training.h: trains a model for some steps on a mesh of rank threads, the way the trainer
// does, and gathers what came out. Include tests/support/catch.h first.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "titan/parallel/engine.h"
#include "titan/protocols/model.h"

namespace titan::testing {

/// A case of a test: "HSDP 2x4", its mesh and parallelism.shard_strategy.
struct Layout {
  std::string name;
  parallel::ParallelDims dims;
  std::string strategy = "fsdp";
};

struct MeshTraining {
  std::function<std::shared_ptr<Model>(at::Device)> make_model;
  /// Inputs of the samples first .. first + count - 1 of a step's global batch.
  struct Inputs {
    at::Tensor x_t, t, target;
    Conditioning condition;
  };
  std::function<Inputs(int64_t step, int64_t first, int64_t count)> inputs;
  int64_t global_batch = 1;
  int64_t steps = 1;
  double lr = 1e-2;
  double max_norm = 1.0;

  parallel::ParallelDims dims = {};
  int64_t accumulation = 1;
  JobConfig config = {};  ///< [parallelism], [activation_checkpoint], precision
};

struct MeshResult {
  std::map<std::string, at::Tensor> weights;  ///< whole, float32
  std::vector<double> losses;                 ///< of each step, over the global batch
  std::vector<double> norms;                  ///< of each step, before clipping
  std::vector<int64_t> state_elements;        ///< per rank: elements of master weights held
  std::vector<int64_t> slot_bytes;            ///< per rank: memory for gathered units
};

/// Also checks that replicas hold equal slices, and that ranks agree on the norm to the bit.
MeshResult train_on_mesh(const MeshTraining& training);

/// Largest difference over all weights, as a share of the largest weight.
double largest_difference(const MeshResult& a, const MeshResult& b);

}  // namespace titan::testing
