#include "titan/metrics/console.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/base/log.h"

namespace titan::metrics {
namespace {

using titan::testing::slurp;
using titan::testing::TemporaryFolder;

/// A file to write to, read back as text.
class Screen {
 public:
  Screen()
      : file_(open((folder_.file("screen")).c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC,
                   0644)) {}
  ~Screen() { close(file_); }
  int file() const { return file_; }
  std::string text() const { return slurp(folder_.file("screen")); }

 private:
  TemporaryFolder folder_;
  int file_;
};

TrainRecord example() {
  TrainRecord r;
  r.step = 600;
  r.loss = 0.12345;
  r.grad_norm = 0.561;
  r.lr = 8e-4;
  r.samples_per_s = 412.3;
  r.step_s = 0.0776;
  r.data_wait_share = 0.124;
  r.memory_gib = 3.9;
  r.tflops = 1.234;
  r.mfu = 0.341;
  r.eta_s = 7500;
  return r;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

}  // namespace

TEST_CASE("In a pipe there is one plain line a record, with units", "[metrics]") {
  const Screen screen;
  ConsoleSink sink({.file = screen.file(), .total_steps = 5000});
  sink.train(example());
  for (int64_t step = 601; step < 610; ++step) sink.progress({step, 5000, 7000.0});
  TrainRecord bare;
  bare.step = 610;
  sink.train(bare);
  TrainRecord in_8_bits;
  in_8_bits.step = 611;
  in_8_bits.loss = 0.5;
  in_8_bits.grad_norm = 1;
  in_8_bits.mfu = 0.92;
  in_8_bits.mfu_fp8 = 0.4597;
  sink.train(in_8_bits);
  sink.event({610, "checkpoint", {}});
  sink.eval({.step = 610, .samples = 64, .loss = 0.25, .seconds = 12, .values = {{"fid", 12.5}}});
  sink.finish();
  REQUIRE(screen.text() ==
          "step 600/5000  loss 0.1235  grad 0.561  lr 8.00e-04  412 im/s  0.0776 s/step  data wait "
          "12%  3.90 GiB  "
          "1.23 TFLOP/s  mfu 34.1%  eta 2h 05m\n"
          "step 610/5000  loss nan  grad nan\n"
          "step 611/5000  loss 0.5000  grad 1.00  mfu 92.0% (fp8 46.0%)\n"
          "eval at step 610/5000  loss 0.2500  fid 12.5  64 samples  12s\n");
}

TEST_CASE("On a terminal one line is redrawn, at most ten times a second", "[metrics]") {
  const Screen screen;
  double now = 0;
  ConsoleSink sink(
      {.file = screen.file(), .bar = true, .width = 100, .total_steps = 5000, .now = [&] {
         return now;
       }});
  sink.train(example());
  for (int64_t step = 601; step <= 700; ++step) {
    now += 0.01;
    sink.progress({step, 5000, 7400.0});
  }
  const std::string text = screen.text();
  REQUIRE(count(text, "\n") == 0);
  REQUIRE(count(text, "\r\x1b[2K") <= 12);
  REQUIRE(count(text, "\r\x1b[2K") >= 9);
  REQUIRE(text.find("\r\x1b[2K[##..................]  12%  step 600/5000  loss 0.1235  eta 2h 05m  "
                    "412 im/s") == 0);
  REQUIRE(text.find("\x1b[3") == std::string::npos);  // no colours asked for
  sink.finish();
  REQUIRE(screen.text().back() == '\n');
}

TEST_CASE("The bar fits a narrow terminal", "[metrics]") {
  const Screen screen;
  ConsoleSink sink(
      {.file = screen.file(), .bar = true, .color = true, .width = 60, .total_steps = 5000});
  sink.train(example());
  std::string visible;
  const std::string text = screen.text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (std::isalpha(static_cast<unsigned char>(text[i])) == 0) ++i;
    } else if (text[i] != '\r') {
      visible += text[i];
    }
  }
  REQUIRE(visible == "[##..................]  12%  step 600/5000  loss 0.1235");
  REQUIRE(count(text, "\x1b[32m") == 1);
}

TEST_CASE("A log line clears the bar first", "[metrics]") {
  const Screen screen;
  {
    ConsoleSink sink({.file = screen.file(), .bar = true, .width = 80, .total_steps = 5000});
    sink.train(example());
    const std::size_t before = screen.text().size();
    TITAN_LOG(WARNING) << "expected by this test";
    REQUIRE(screen.text().substr(before) == "\r\x1b[2K");
    TITAN_LOG(WARNING) << "expected by this test";  // nothing left to clear
    REQUIRE(screen.text().size() == before + 5);
  }
  TITAN_LOG(WARNING) << "expected by this test";  // the sink is gone
}

TEST_CASE("A file is no terminal: plain lines without colours", "[metrics]") {
  const Screen screen;
  const ConsoleOptions options = console_options_for(screen.file(), /*disable_color=*/false, 10);
  REQUIRE_FALSE(options.bar);
  REQUIRE_FALSE(options.color);
}

}  // namespace titan::metrics
