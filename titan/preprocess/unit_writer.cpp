#include "titan/preprocess/unit_writer.h"

#include <exception>
#include <utility>

#include "titan/base/log.h"

namespace titan::preprocess {
namespace {

constexpr std::size_t kStepsInHand = 2;

}  // namespace

UnitWriter::UnitWriter(const JobPaths& paths, const EncodedFormat& format, EncodedShapes shapes,
                       StageTimes& times)
    : paths_(paths), format_(format), shapes_(std::move(shapes)), times_(times), thread_([this] {
        run();
      }) {}

UnitWriter::~UnitWriter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.clear();
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Status UnitWriter::push(EncodedStep step) {
  const StageTimes::Span wait(times_, StageTimes::kWaitForWrite);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kStepsInHand || !status_.ok(); });
  TITAN_RETURN_IF_ERROR(status_);
  queue_.push_back(std::move(step));
  changed_.notify_all();
  return ok_status();
}

Status UnitWriter::finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
  return status_;
}

WrittenCounts UnitWriter::counts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

void UnitWriter::run() {
  for (;;) {
    EncodedStep step;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !queue_.empty() || ending_; });
      if (queue_.empty()) return;
      step = std::move(queue_.front());
    }
    Status status;
    try {
      const StageTimes::Span busy(times_, StageTimes::kWrite);
      status = write(step);
    } catch (const std::exception& error) {  // out of memory: a thread must not throw
      status = internal_error(error.what());
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!queue_.empty()) queue_.pop_front();  // unless the destructor has cleared it
    if (!status.ok()) status_ = status;
    changed_.notify_all();
    if (!status.ok()) return;
  }
}

Status UnitWriter::write(EncodedStep& step) {
  const std::size_t before = step.skipped.size();
  for (std::size_t row = 0; row < step.keys.size(); ++row) {
    const Status status = write_row(step, row);
    if (status.code() == absl::StatusCode::kInvalidArgument) {
      step.skipped.push_back(
          {step.indices[row], str_cat(step.keys[row], ": ", message_of(status))});
    } else {
      TITAN_RETURN_IF_ERROR(status);
      ++record_.rows;
    }
  }
  for (std::size_t i = before; i < step.skipped.size(); ++i)
    TITAN_LOG(WARNING) << "[preprocess] left out " << step.skipped[i].why;
  record_.skipped.insert(record_.skipped.end(), step.skipped.begin(), step.skipped.end());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    counts_.skipped += static_cast<int64_t>(step.skipped.size());
    for (const at::Tensor& field : step.fields)
      if (field.defined()) counts_.bytes += static_cast<int64_t>(field.nbytes());
  }
  return step.step.last_of_unit ? close_unit(step.step) : ok_status();
}

Status UnitWriter::write_row(const EncodedStep& step, std::size_t row) {
  EncodedRow encoded;
  encoded.key = step.keys[row];
  encoded.timestep = step.timesteps[row];
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    const at::Tensor& values = step.fields[field];
    encoded.shapes[field] = values.sizes().slice(1).vec();
    const std::size_t bytes = encoded_bytes(encoded.shapes[field]);
    encoded.values[field] = {static_cast<const std::byte*>(values.const_data_ptr()) + row * bytes,
                             bytes};
    TITAN_CHECK(encoded.shapes[field] == shapes_[field], "[preprocess] the encoder gave '",
                kEncodedFields[field], "' the shape ", shape_text(encoded.shapes[field]),
                " and had announced ", shape_text(shapes_[field]));
  }
  TITAN_RETURN_IF_ERROR(check_encoded_row(encoded, shapes_, /*check_values=*/true));
  if (!file_) {
    TITAN_ASSIGN_OR_RETURN(file_,
                           format_.create_file(paths_.unit_file(step.step.unit).string(), shapes_));
  }
  return file_->append(encoded);
}

Status UnitWriter::close_unit(const Step& step) {
  if (file_) {
    TITAN_ASSIGN_OR_RETURN(record_.bytes, file_->finish());
    file_.reset();
  }
  // A record says that all before it is durable.
  const Status status = record_unit(paths_, step.unit, std::exchange(record_, {}));
  return status;
}

}  // namespace titan::preprocess
