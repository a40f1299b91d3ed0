// The trainer inside a program of one's own: samples that the program computes itself, titan's DiT
// trained on them, and the result looked at afterwards.
//
//   own_data [--section.key=value ...]
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <titan/data/dataset.h>
#include <titan/train/train_main.h>

#include <cmath>
#include <cstdio>
#include <fstream>

/// Bright rings on a dark ground; the class is the radius. Stands for whatever simulation, camera
/// or database the program has at hand.
class Rings : public titan::Dataset {
 public:
  static constexpr int64_t kSide = 16, kClasses = 4;
  int64_t size() const override { return 100'000; }
  titan::StatusOr<titan::Sample> read(int64_t index, const titan::DrawKey&) const override {
    const int64_t label = index % kClasses;
    at::Tensor image = at::empty({1, kSide, kSide});
    float* pixels = image.mutable_data_ptr<float>();
    for (int64_t i = 0; i < kSide * kSide; ++i) {
      const double x = static_cast<double>(i % kSide) - 7.5;
      const double y = static_cast<double>(i / kSide) - 7.5;
      const double off = std::hypot(x, y) - 1.5 * static_cast<double>(label + 1);
      pixels[i] = static_cast<float>(2 * std::exp(-off * off) - 1);
    }
    titan::Sample sample;
    sample.fields.set("image", image);
    sample.fields.set("label", at::scalar_tensor(label, at::kLong));
    return sample;
  }
  std::string describe(int64_t index) const override { return "ring " + std::to_string(index); }
  int64_t num_classes() const override { return kClasses; }
  std::string fingerprint() const override { return "rings-1"; }
};

titan::StatusOr<std::unique_ptr<titan::Dataset>> open_rings(const titan::JobConfig&) {
  return std::make_unique<Rings>();
}

/// Prints how far the loss fell; false where it did not.
bool report(const std::string& metrics) {
  std::ifstream file(metrics);
  double first = 0, last = 0;
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find("\"loss\":");
    if (at == line.npos) continue;
    last = std::stod(line.substr(at + 7));
    if (first == 0) first = last;
  }
  std::printf("own_data: the loss fell from %.3f to %.3f\n", first, last);
  return last < first;
}

int main(int argc, char** argv) {
  if (!titan::register_dataset("rings", open_rings).ok()) return 1;
  std::vector<std::string> words = {argv[0],
                                    "--config=debug",
                                    "--training.dataset=rings",
                                    "--dataset.num_classes=4",
                                    "--sampling.enable=false",
                                    "--training.steps=30",
                                    "--job.dump_folder=outputs/own_data"};
  words.insert(words.end(), argv + 1, argv + argc);  // a later setting wins
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  const int code = titan::train_main(static_cast<int>(arguments.size()), arguments.data());
  return code != 0 || report("outputs/own_data/metrics.jsonl") ? code : 1;
}
