// tensorboard.h: event files that TensorBoard opens, under torchtitan's tag names.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/metrics/sink.h"

namespace titan::metrics {

class TensorboardSink : public MetricsSink {
 public:
  /// Starts a new event file in `folder` (made if absent). A resumed run first cuts the folder's
  /// event files back to `resumed_step`; a TensorBoard that has them open is told to forget the
  /// later steps.
  static StatusOr<std::unique_ptr<TensorboardSink>> open(
      const std::string& folder, std::optional<int64_t> resumed_step = std::nullopt);
  ~TensorboardSink() override;
  TensorboardSink(const TensorboardSink&) = delete;
  TensorboardSink& operator=(const TensorboardSink&) = delete;

  void train(const TrainRecord& record) override;
  void eval(const EvalRecord& record) override;
  void event(const EventRecord& /*record*/) override {}

 private:
  TensorboardSink(std::string path, int file) : path_(std::move(path)), file_(file) {}
  void write_event(const std::string& event);

  std::string path_;
  int file_;
  bool failed_ = false;
};

/// Removes the events after `step` from every event file in `folder`. No folder is fine.
Status cut_tensorboard_back_to_step(const std::string& folder, int64_t step);

/// Tag and value of each scalar of a record; what is unknown is left out.
using Scalars = std::vector<std::pair<std::string, double>>;
Scalars train_scalars(const TrainRecord& record);
Scalars eval_scalars(const EvalRecord& record);

}  // namespace titan::metrics
