// Row shards of both versions from the same rows: bytes, and how fast one thread reads them.
//
//   coded_rows_bench ARROW_FOLDER OUTPUT [ROWS]   prints one JSON object
//
// Each row's T5 encodings are those of the folder's samples side by side, so that they are 4096
// wide and padded positions follow one another as real ones do.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "titan/data/encoded_file.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/finite_copy.h"
#include "titan/data/row_shards.h"
#include "titan/memory/cpu_allocator.h"

namespace {

using namespace titan;
namespace fs = std::filesystem;

constexpr int64_t kWidth = 4096;

/// Rows of the benchmark's width over narrow ones.
class WideRows : public EncodedRows {
 public:
  WideRows(const EncodedRows& narrow, int64_t count) {
    for (int64_t i = 0; i < narrow.size(); ++i) rows_.push_back(narrow.read(i).value());
    const std::vector<int64_t>& t5 = rows_[0].shapes[0];
    values_.resize(static_cast<std::size_t>(count));
    for (int64_t row = 0; row < count; ++row) {
      auto& wide = values_[static_cast<std::size_t>(row)];
      wide.resize(static_cast<std::size_t>(t5[0] * kWidth));
      for (int64_t part = 0; part < kWidth / t5[1]; ++part) {
        const auto& from = rows_[static_cast<std::size_t>((row * 7 + part) % narrow.size())];
        for (int64_t p = 0; p < t5[0]; ++p)
          std::memcpy(&wide[static_cast<std::size_t>(p * kWidth + part * t5[1])],
                      from.values[0].data() + p * t5[1] * 2, static_cast<std::size_t>(t5[1]) * 2);
      }
    }
  }
  int64_t size() const override { return static_cast<int64_t>(values_.size()); }
  StatusOr<EncodedRow> read(int64_t index) const override {
    EncodedRow row = rows_[static_cast<std::size_t>(index) % rows_.size()];
    row.shapes[0][1] = kWidth;
    row.values[0] = std::as_bytes(std::span(values_[static_cast<std::size_t>(index)]));
    return row;
  }
  StatusOr<EncodedTag> tag(int64_t index) const override { return *read(index); }
  std::string describe(int64_t index) const override { return "row " + std::to_string(index); }
  std::string fingerprint() const override { return "wide"; }

 private:
  std::vector<EncodedRow> rows_;
  std::vector<std::vector<std::uint16_t>> values_;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Rows a CPU second, copied into place as the loader does; the best of five passes.
double read_rate(const std::string& folder) {
  const auto rows = open_encoded_rows(folder, "bench").value();
  std::vector<std::byte> place(encoded_bytes(rows->read(0)->shapes[0]));
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const double start = cpu_seconds();
    for (int64_t i = 0; i < rows->size(); ++i) {
      const EncodedRow row = rows->read(i).value();
      for (const auto& values : row.values) copy_finite(values, place.data());
    }
    best = std::max(best, static_cast<double>(rows->size()) / (cpu_seconds() - start));
  }
  return best;
}

double megabytes(const std::string& folder) {
  double bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    bytes += static_cast<double>(entry.file_size());
  return bytes / 1e6;
}

void must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", message_of(status).c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: coded_rows_bench ARROW_FOLDER OUTPUT [ROWS]\n");
    return 2;
  }
  memory::install_cpu_allocator();  // as in training
  const auto narrow = open_encoded_rows(argv[1], "bench").value();
  const WideRows rows(*narrow, argc > 3 ? std::atoll(argv[3]) : 64);
  const std::string plain = std::string(argv[2]) + "/v1", coded = std::string(argv[2]) + "/v2";
  fs::create_directories(plain);
  fs::create_directories(coded);
  must(write_row_shards(rows, plain, rows.size(), [](int64_t) {}));
  const auto format = find_encoded_format("rows").value();
  const EncodedShapes shapes = rows.read(0)->shapes;
  const double start = cpu_seconds();
  const auto file = format->create_file(coded + "/" + format->file_name(0, 1), shapes).value();
  for (int64_t i = 0; i < rows.size(); ++i) must(file->append(*rows.read(i)));
  must(file->finish().status());
  const double written = cpu_seconds() - start;
  must(format->write_index(coded, shapes, {{format->file_name(0, 1), rows.size()}}));
  std::printf(
      "{\"rows\": %lld, \"v1_mb\": %.1f, \"v2_mb\": %.1f, \"v2_written_rows_per_cpu_s\": %.0f, "
      "\"v1_read_rows_per_cpu_s\": %.0f, \"v2_read_rows_per_cpu_s\": %.0f}\n",
      static_cast<long long>(rows.size()), megabytes(plain), megabytes(coded),
      static_cast<double>(rows.size()) / written, read_rate(plain), read_rate(coded));
  return 0;
}
