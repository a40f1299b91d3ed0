// parallelism.h: settings of layout over ranks, and what it trades memory for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct ParallelismSection {
  int64_t data_parallel_replicate_degree = 1;
  int64_t data_parallel_shard_degree = -1;
  std::string shard_strategy = "fsdp";
  std::string fsdp_reshard_after_forward = "default";
  int64_t fsdp_prefetch = 1;
  bool reduce_each_micro_batch = false;
  double bucket_mib = 25;
  int64_t tensor_parallel_degree = 1;
  int64_t context_parallel_degree = 1;
  int64_t pipeline_parallel_degree = 1;
};
template <class V>
void visit_fields(ParallelismSection& c, V&& v) {
  v("data_parallel_replicate_degree", c.data_parallel_replicate_degree,
    "ranks that hold copies of the model; -1 = the rest", rule::at_least(-1));
  v("data_parallel_shard_degree", c.data_parallel_shard_degree,
    "ranks over which the model is sharded; -1 = the rest", rule::at_least(-1));
  v("shard_strategy", c.shard_strategy,
    "what is sharded over the shard ranks: fsdp = parameters, gradients and optimizer state, "
    "gathered unit by unit; zero1 = optimizer state alone, parameters stay whole",
    rule::one_of({"fsdp", "zero1"}));
  v("fsdp_reshard_after_forward", c.fsdp_reshard_after_forward,
    "whether a unit's gathered parameters are given back after its forward and gathered again for "
    "its backward; default = all but the last block and what follows it",
    rule::one_of({"default", "always", "never"}));
  v("fsdp_prefetch", c.fsdp_prefetch, "units gathered ahead of the one that computes",
    rule::between(0, 16));
  v("reduce_each_micro_batch", c.reduce_each_micro_batch,
    "with accumulation, sharded gradients are reduced after each micro-batch instead of once a "
    "step: no whole gradient is kept, more is sent");
  v("bucket_mib", c.bucket_mib,
    "replicated gradients of neighbouring units are reduced together from this size on, in MiB",
    rule::above(0));
  v("tensor_parallel_degree", c.tensor_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
  v("context_parallel_degree", c.context_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
  v("pipeline_parallel_degree", c.pipeline_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
}

struct ActivationCheckpointSection {
  std::string mode = "none";
  std::string selective_ac_option = "2";
  double fraction = 1.0;
  std::vector<std::string> keep_ops = {"attention"};
  int64_t keep_matmul_every = 2;
};
template <class V>
void visit_fields(ActivationCheckpointSection& c, V&& v) {
  v("mode", c.mode,
    "what backward needs of a block: none = everything is kept; full = only the block's input, the "
    "rest is computed again; selective = see selective_ac_option",
    rule::one_of({"none", "full", "selective"}));
  v("selective_ac_option", c.selective_ac_option,
    "mode = selective: a number k = every k-th block is computed again, the others keep "
    "everything; "
    "op = every block is, but for the results of keep_ops and every keep_matmul_every-th matrix "
    "product");
  v("fraction", c.fraction,
    "share of the blocks, counted from the first, to which the mode applies; the others keep "
    "everything",
    rule::between(0, 1));
  v("keep_ops", c.keep_ops, "selective_ac_option = op: operators whose results are kept",
    rule::one_of({"attention"}));
  v("keep_matmul_every", c.keep_matmul_every,
    "selective_ac_option = op: the result of every n-th linear layer of a block is kept; 0 = none",
    rule::at_least(0));
}

struct CommSection {
  int64_t init_timeout_seconds = 300;
  int64_t train_timeout_seconds = 100;
  int64_t stall_timeout_seconds = 0;
  double heartbeat_seconds = 1;
  std::string cpu_backend = "auto";
};
template <class V>
void visit_fields(CommSection& c, V&& v) {
  v("init_timeout_seconds", c.init_timeout_seconds,
    "longest wait for the other ranks until the first step ends", rule::at_least(1));
  v("train_timeout_seconds", c.train_timeout_seconds,
    "longest wait for the other ranks in a later collective", rule::at_least(1));
  v("stall_timeout_seconds", c.stall_timeout_seconds,
    "a step in which no rank gets on for so long is reported with each rank's place and ended; 0 = "
    "half of train_timeout_seconds",
    rule::at_least(0));
  v("heartbeat_seconds", c.heartbeat_seconds,
    "how often each rank tells the others, through the store, where it is", rule::above(0));
  v("cpu_backend", c.cpu_backend,
    "what carries tensors in host memory: auto = shared memory among ranks of one host, Gloo "
    "elsewhere; gloo = Gloo everywhere",
    rule::one_of({"auto", "gloo"}));
}

}  // namespace titan
