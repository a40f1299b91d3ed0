// statistics_watch.h: statistics of every tensor that a runner's passes show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/metrics/step_statistics.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/protocols/model.h"
#include "titan/protocols/state_watch.h"

namespace titan {

/// Host sync for every tensor, each of which is copied to the host as float64: for looking into one
/// step, not for training.
class StatisticsWatch : public StateWatch {
 public:
  explicit StatisticsWatch(const Model& model);

  /// `rows`: which samples of the batch are looked at; empty = all. With rows, what belongs to the
  /// whole batch (loss, parameters' gradients) is left out.
  void begin_micro_batch(int64_t index, std::vector<int64_t> rows);
  /// This rank's slices of the weights, by unit, under `phase`.
  void weights(const std::string& phase, const std::vector<parallel::FlatUnit>& units);
  /// A number of the whole step.
  void number(const std::string& name, const at::Tensor& value);

  void input(const at::Tensor& x_t, const at::Tensor& t, const NamedTensors& condition) override;
  void state(std::size_t unit, const BlockState& state) override;
  void prediction(const at::Tensor& prediction) override;
  void loss(const at::Tensor& loss) override;
  void gradients(std::size_t unit, const std::vector<at::Tensor>& parameters,
                 const std::vector<std::size_t>& slots,
                 const std::vector<at::Tensor>& state) override;

  std::vector<metrics::TensorStatistics> take() { return std::move(found_); }

 private:
  void add(const std::string& phase, const std::string& unit, const std::string& tensor,
           const at::Tensor& value, bool of_samples);

  std::vector<std::string> units_;
  std::vector<std::vector<std::string>> parameters_;  ///< of each unit
  std::vector<std::vector<std::string>> slots_;  ///< names of the tensors that each unit hands on
  int64_t micro_batch_ = -1;
  int64_t batch_size_ = 0;
  std::vector<int64_t> rows_;
  std::vector<metrics::TensorStatistics> found_;
};

}  // namespace titan
