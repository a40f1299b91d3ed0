#include "tests/support/catch.h"

#include "titan/train/prompt_pictures.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include <ATen/ATen.h>

#include "titan/base/hash.h"
#include "titan/io/image_decode.h"
#include "titan/parallel/communicator.h"

#include "tests/support/ranks.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

/// Draws each prompt as a pattern of its words and number, and notes what it was asked for.
class FakePainter {
 public:
  explicit FakePainter(std::vector<double> scales) : scales_(std::move(scales)) {}

  StatusOr<std::vector<at::Tensor>> draw(int64_t first, const std::vector<std::string>& prompts) {
    ++calls;
    std::vector<at::Tensor> pictures;
    for (const double scale : scales_) {
      std::vector<at::Tensor> rows;
      for (std::size_t k = 0; k < prompts.size(); ++k) {
        const auto hash = static_cast<double>(xxh3_64(prompts[k]) % 1000);
        const double number = static_cast<double>(first) + static_cast<double>(k);
        rows.push_back(at::sin(at::arange(3.0 * 8 * 8).view({3, 8, 8}) + hash + number / 10) /
                       (1 + scale));
        const std::lock_guard<std::mutex> lock(mutex_);
        drawn.insert(first + static_cast<int64_t>(k));
      }
      pictures.push_back(at::stack(rows).to(at::kFloat));
    }
    return pictures;
  }

  std::set<int64_t> drawn;
  std::atomic<int> calls = 0;

 private:
  std::vector<double> scales_;
  std::mutex mutex_;
};

PromptPictures job_in(const fs::path& folder, int64_t count) {
  PromptPictures job;
  for (int64_t k = 0; k < count; ++k) job.prompts.push_back(str_cat("prompt ", k % 7, " Käse"));
  job.guidance = {3};
  job.batch_size = 4;
  job.folder = folder;
  fs::create_directories(folder);
  job.settings = {.model = "test",
                  .weights = "/x/step-000100",
                  .step = "100",
                  .averages = true,
                  .sampling_steps = 5,
                  .seed = 11,
                  .fingerprint = "abc"};
  return job;
}

int no_signal() { return 0; }

/// Runs the job to its end on so many ranks; returns the numbers drawn.
std::set<int64_t> run(const PromptPictures& job, int num_ranks = 1,
                      const std::function<int()>& signal = no_signal,
                      JobOutcome expected = JobOutcome::kDone) {
  FakePainter painter(job.guidance);
  std::vector<std::string> problems(static_cast<std::size_t>(num_ranks));
  testing::run_ranks(num_ranks, [&](parallel::Communicator& ranks) {
    std::string& problem = problems[static_cast<std::size_t>(ranks.rank())];
    const auto draw = [&](int64_t first, const std::vector<std::string>& prompts) {
      return painter.draw(first, prompts);
    };
    const StatusOr<JobOutcome> outcome = draw_prompt_pictures(job, draw, ranks, signal);
    if (!outcome.ok()) {
      problem = message_of(outcome.status());
    } else if (*outcome != expected) {
      problem = "another outcome";
    } else if (*outcome == JobOutcome::kDone) {
      problem = message_of(write_prompt_pages(job, ranks));
    }
  });
  for (const std::string& problem : problems) REQUIRE(problem == "");
  // Ranks that share parameters must run the model equally often.
  REQUIRE(painter.calls % num_ranks == 0);
  return painter.drawn;
}

/// Bytes of every file, by name.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = testing::slurp(entry.path().string());
  return files;
}

PngText words_of(const std::string& path) {
  const std::string bytes = testing::slurp(path);
  return read_png_text({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value();
}

}  // namespace

TEST_CASE("Pictures are the same bytes for any number of ranks", "[inference]") {
  const TemporaryFolder folder;
  for (const int64_t count : {1, 4, 5, 11, 13}) {
    const PromptPictures alone = job_in(folder.path() / str_cat("alone", count), count);
    run(alone);
    const auto expected = files_of(alone.folder);
    REQUIRE(static_cast<int64_t>(expected.size()) == count + 1);
    for (const int num_ranks : {2, 3}) {
      const PromptPictures job = job_in(folder.path() / str_cat(count, "on", num_ranks), count);
      run(job, num_ranks);
      INFO(count << " prompts, " << num_ranks << " ranks");
      CHECK(files_of(job.folder) == expected);
    }
    PromptPictures other = job_in(folder.path() / str_cat("other", count), count);
    other.batch_size = 3;
    run(other, 2);
    CHECK(files_of(other.folder) == expected);
  }
}

TEST_CASE("A picture says what it shows and how it was drawn", "[inference]") {
  const TemporaryFolder folder;
  const PromptPictures job = job_in(folder.path() / "out", 3);
  run(job);
  const PngText words = words_of(folder / "out/img_000002.png");
  for (const auto& [keyword, text] : std::map<std::string, std::string>{{"prompt", "prompt 2 Käse"},
                                                                        {"negative_prompt", ""},
                                                                        {"guidance", "3"},
                                                                        {"picture", "2"},
                                                                        {"steps", "5"},
                                                                        {"seed", "11"},
                                                                        {"model", "test"},
                                                                        {"weights_step", "100"},
                                                                        {"averages", "yes"}}) {
    INFO(keyword);
    CHECK(find_text(words, keyword) == text);
  }
  CHECK_THAT(find_text(words, "Software"), Catch::StartsWith("titan "));
  const PngText page = words_of(folder / "out/grid.png");
  CHECK(find_text(page, "pictures") == "0 to 2");
  CHECK(find_text(page, "seed") == "11");
}

TEST_CASE("Only what is missing, damaged or drawn otherwise is drawn again", "[inference]") {
  const TemporaryFolder folder;
  PromptPictures job = job_in(folder.path() / "out", 13);
  run(job);
  const auto expected = files_of(job.folder);
  CHECK(run(job, 2).empty());

  fs::remove(job.folder / "img_000005.png");
  fs::resize_file(job.folder / "img_000012.png", 100);
  folder.write("out/img_000009.png", "no picture");
  const std::string kept = (job.folder / "img_000004.png").string();
  const auto written = fs::last_write_time(kept);
  // A batch is drawn as a whole, so that its pixels do not hang on what is there; it is not
  // written.
  CHECK(run(job, 3) == std::set<int64_t>{4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(fs::last_write_time(kept) == written);
  CHECK(files_of(job.folder) == expected);

  job.prompts[2] = "another one";
  CHECK(run(job) == std::set<int64_t>{0, 1, 2, 3});
  CHECK(find_text(words_of(folder / "out/img_000002.png"), "prompt") == "another one");
  job.settings.fingerprint = "other weights";
  CHECK(run(job, 2).size() == 13);
  job.guidance = {4};
  CHECK(run(job).size() == 13);
  CHECK(run(job).empty());
}

TEST_CASE("A signal stops all ranks behind their batch, and the next job goes on", "[inference]") {
  const TemporaryFolder folder;
  const PromptPictures whole = job_in(folder.path() / "whole", 23);
  run(whole);
  const PromptPictures job = job_in(folder.path() / "out", 23);
  std::atomic<int> asked = 0;
  // Asked once a round by each of two ranks; one of them sees the signal first.
  const auto first = run(
      job, 2, [&] { return ++asked >= 4 ? 15 : 0; }, JobOutcome::kStopped);
  CHECK(first == std::set<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK_FALSE(fs::exists(job.folder / "grid.png"));
  CHECK(run(job, 3).count(0) == 0);
  CHECK(files_of(job.folder) == files_of(whole.folder));
}

TEST_CASE("Scales of guidance get pictures of their own and stand side by side", "[inference]") {
  const TemporaryFolder folder;
  PromptPictures job = job_in(folder.path() / "out", 5);
  job.guidance = {1, 4.5};
  run(job, 2);
  CHECK(fs::exists(job.folder / "img_000004_guidance_1.png"));
  CHECK(find_text(words_of(folder / "out/img_000004_guidance_4.5.png"), "guidance") == "4.5");
  CHECK(testing::slurp(folder / "out/img_000003_guidance_1.png") !=
        testing::slurp(folder / "out/img_000003_guidance_4.5.png"));
}

TEST_CASE("Many pictures get several pages; a shorter job leaves none of the longer one's",
          "[inference]") {
  const TemporaryFolder folder;
  PromptPictures job = job_in(folder.path() / "out", 2 * kPicturesOfPage + 1);
  run(job, 2);
  CHECK(fs::exists(page_path(job.folder, 2)));
  CHECK_FALSE(fs::exists(page_path(job.folder, 3)));
  CHECK(find_text(words_of(page_path(job.folder, 2)), "pictures") == "128 to 128");
  job.prompts.resize(3);
  CHECK(run(job).empty());
  CHECK(fs::exists(page_path(job.folder, 0)));
  CHECK_FALSE(fs::exists(page_path(job.folder, 1)));
  CHECK_FALSE(fs::exists(page_path(job.folder, 2)));
}

TEST_CASE("A folder that cannot be written ends the job with its path", "[inference]") {
  const TemporaryFolder folder;
  PromptPictures job = job_in(folder.path() / "out", 2);
  fs::remove(job.folder);
  FakePainter painter(job.guidance);
  parallel::Communicator alone;
  const StatusOr<JobOutcome> outcome = draw_prompt_pictures(
      job,
      [&](int64_t first, const std::vector<std::string>& prompts) {
        return painter.draw(first, prompts);
      },
      alone, no_signal);
  REQUIRE_FALSE(outcome.ok());
  CHECK_THAT(message_of(outcome.status()), Catch::Contains(job.folder.string()));
}

}  // namespace titan
